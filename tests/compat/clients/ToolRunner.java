import java.io.BufferedReader;
import java.io.ByteArrayOutputStream;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.lang.reflect.InvocationTargetException;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.Base64;

import org.apache.kafka.common.utils.Exit;

/**
 * Runs Kafka's command-line tools one after the other in one JVM, since starting one costs more than most of
 * them take. Each line of stdin is a main class and its arguments, parted by tabs; each line of stdout is the
 * exit status and what the tool wrote to stdout and stderr, both in base64, parted by tabs.
 */
public final class ToolRunner {
    private static final class Ended extends Error {
        private static final long serialVersionUID = 1L;
    }

    private static final ByteArrayOutputStream OUT = new ByteArrayOutputStream();
    private static final ByteArrayOutputStream ERR = new ByteArrayOutputStream();
    private static String answer;

    private ToolRunner() { }

    private static synchronized void end(int status) {
        if (answer == null) {
            System.out.flush();
            System.err.flush();
            Base64.Encoder base64 = Base64.getEncoder();
            answer = status + "\t" + base64.encodeToString(OUT.toByteArray())
                + "\t" + base64.encodeToString(ERR.toByteArray());
        }
    }

    private static void stop(int status, String message) {
        if (message != null) {
            System.err.println(message);
        }
        end(status);
        throw new Ended();
    }

    public static void main(String[] args) throws Exception {
        PrintStream answers = System.out;
        Exit.setExitProcedure(ToolRunner::stop);
        Exit.setHaltProcedure(ToolRunner::stop);
        BufferedReader lines = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = lines.readLine(); line != null; line = lines.readLine()) {
            String[] words = line.split("\t", -1);
            OUT.reset();
            ERR.reset();
            answer = null;
            System.setOut(new PrintStream(OUT, true, "UTF-8"));
            System.setErr(new PrintStream(ERR, true, "UTF-8"));
            try {
                String[] rest = Arrays.copyOfRange(words, 1, words.length);
                Class.forName(words[0]).getMethod("main", String[].class).invoke(null, (Object) rest);
                end(0);
            } catch (InvocationTargetException error) {
                if (answer == null) {
                    error.getCause().printStackTrace();
                }
                end(1);
            }
            answers.println(answer);
            answers.flush();
        }
        Runtime.getRuntime().halt(0);
    }
}
