import java.util.concurrent.TimeUnit;
import org.apache.logging.log4j.LogManager;
import org.apache.logging.log4j.Logger;
import org.apache.logging.log4j.core.LoggerContext;
import org.apache.logging.log4j.core.config.Configurator;

/**
 * Logs numbered lines with Log4j 2: {@code LogLines count logger...}. Says "half LOGGER" in the middle of each.
 *
 * <p>Waits at the end for what its appenders still have to send.
 */
public final class LogLines {
    private static final int PATIENCE_SECONDS = 60;

    public static void main(String[] args) {
        int count = Integer.parseInt(args[0]);
        int thrown = 0;
        for (int index = 1; index < args.length; index++) {
            Logger logger = LogManager.getLogger(args[index]);
            for (int line = 0; line < count; line++) {
                if (line == count / 2) {
                    System.out.println("half " + args[index]);
                }
                try {
                    logger.info("line {}", line);
                } catch (RuntimeException failure) {
                    thrown++;
                    System.out.println("thrown at " + line + ": " + failure + " / " + failure.getCause());
                }
            }
        }
        // LogManager.shutdown() would not wait: what was not sent would be lost.
        Configurator.shutdown((LoggerContext) LogManager.getContext(false), PATIENCE_SECONDS, TimeUnit.SECONDS);
        System.out.println("done, " + thrown + " thrown");
    }
}
