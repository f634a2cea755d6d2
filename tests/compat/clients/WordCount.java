import java.util.ArrayList;
import java.util.List;
import java.util.Properties;
import java.util.TreeSet;
import java.util.concurrent.CountDownLatch;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.utils.Bytes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.KeyValue;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.errors.StreamsUncaughtExceptionHandler.StreamThreadExceptionResponse;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.Grouped;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.kstream.Produced;
import org.apache.kafka.streams.processor.StateRestoreListener;
import org.apache.kafka.streams.state.KeyValueStore;

/**
 * A word count with a repartition topic and a changelog: {@code WordCount input output setting=value...}.
 *
 * <p>A line is keyed by its writer, numbered from 1 per writer: "17 some words". The count of a word is written
 * to the output as "exact seen". {@code seen} counts what arrived, which at-least-once processing may bring
 * twice; {@code exact} leaves out what was counted before, told by the highest position of each writer that is
 * kept beside it: positions only go back when something is processed again.
 *
 * <p>It says on standard output what happens ("STATE RUNNING", "TASKS 0_0 1_2", "RESTORED topic-1 532",
 * "FAILED why") and closes in good order when its standard input ends.
 */
public final class WordCount {
    private static final String STORE = "totals";

    public static void main(String[] args) throws Exception {
        Properties settings = new Properties();
        for (int index = 2; index < args.length; index++) {
            String[] pair = args[index].split("=", 2);
            settings.put(pair[0], pair[1]);
        }
        KafkaStreams streams = new KafkaStreams(topology(args[0], args[1]).build(), settings);
        CountDownLatch over = new CountDownLatch(1);
        streams.setStateListener((now, before) -> say("STATE " + now));
        streams.setUncaughtExceptionHandler(error -> {
            say("FAILED " + error);
            error.printStackTrace();
            return StreamThreadExceptionResponse.SHUTDOWN_CLIENT;
        });
        streams.setGlobalStateRestoreListener(new Restores());
        streams.start();
        Thread input = new Thread(() -> {
            try {
                while (System.in.read() >= 0) { }
            } catch (java.io.IOException end) {
                say("FAILED " + end);
            }
            over.countDown();
        });
        input.setDaemon(true);
        input.start();
        Thread tasks = new Thread(() -> sayTasks(streams));
        tasks.setDaemon(true);
        tasks.start();
        over.await();
        streams.close();
    }

    private static StreamsBuilder topology(String input, String output) {
        StreamsBuilder builder = new StreamsBuilder();
        builder.stream(input, Consumed.with(Serdes.String(), Serdes.String()))
            .flatMap(WordCount::words)
            .groupByKey(Grouped.with("words", Serdes.String(), Serdes.String()))
            .aggregate(
                () -> "0 0",
                (word, position, total) -> added(total, position),
                Materialized.<String, String, KeyValueStore<Bytes, byte[]>>as(STORE)
                    .withKeySerde(Serdes.String())
                    .withValueSerde(Serdes.String()))
            .toStream()
            .mapValues(total -> String.join(" ", List.of(total.split(" ")).subList(0, 2)))
            .to(output, Produced.with(Serdes.String(), Serdes.String()));
        return builder;
    }

    /** Each word of a line with its position: "writer:line*1000+index". */
    private static List<KeyValue<String, String>> words(String writer, String line) {
        String[] parts = line.split(" ");
        long number = Long.parseLong(parts[0]);
        List<KeyValue<String, String>> out = new ArrayList<>();
        for (int index = 1; index < parts.length; index++) {
            out.add(KeyValue.pair(parts[index], writer + ":" + (number * 1000 + index)));
        }
        return out;
    }

    /** A total is "exact seen writer:highest writer:highest ...". */
    private static String added(String total, String position) {
        String[] parts = total.split(" ");
        int colon = position.lastIndexOf(':');
        String writer = position.substring(0, colon + 1);
        long at = Long.parseLong(position.substring(colon + 1));
        long exact = Long.parseLong(parts[0]);
        boolean found = false;
        for (int index = 2; index < parts.length; index++) {
            if (parts[index].startsWith(writer)) {
                found = true;
                if (at > Long.parseLong(parts[index].substring(writer.length()))) {
                    exact++;
                    parts[index] = position;
                }
            }
        }
        parts[0] = Long.toString(found ? exact : exact + 1);
        parts[1] = Long.toString(Long.parseLong(parts[1]) + 1);
        return String.join(" ", parts) + (found ? "" : " " + position);
    }

    private static void sayTasks(KafkaStreams streams) {
        String said = "";
        try {
            while (true) {
                TreeSet<String> tasks = new TreeSet<>();
                streams.metadataForLocalThreads().forEach(thread ->
                    thread.activeTasks().forEach(task -> tasks.add(task.taskId().toString())));
                String line = ("TASKS " + String.join(" ", tasks)).trim();
                if (!line.equals(said)) {
                    say(line);
                    said = line;
                }
                Thread.sleep(100);
            }
        } catch (InterruptedException | IllegalStateException end) {
            Thread.currentThread().interrupt();
        }
    }

    private static synchronized void say(String line) {
        System.out.println(line);
    }

    private static final class Restores implements StateRestoreListener {
        @Override
        public void onRestoreStart(TopicPartition partition, String store, long start, long end) { }

        @Override
        public void onBatchRestored(TopicPartition partition, String store, long end, long count) { }

        @Override
        public void onRestoreEnd(TopicPartition partition, String store, long total) {
            say("RESTORED " + partition + " " + total);
        }
    }
}
