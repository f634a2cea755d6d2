import java.io.FileOutputStream;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.TreeMap;
import java.util.stream.Collectors;
import org.apache.kafka.clients.consumer.ConsumerRebalanceListener;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.StringDeserializer;

/**
 * Members of the group in one JVM, a thread each: BOOTSTRAP GROUP TOPIC SESSION_MS HEARTBEAT_MS MAX_POLL_MS
 * WORK_MS EVENTS... ; one member for each file of events. They do what member.py does.
 */
public final class ChurnMember implements Runnable {
    private static volatile boolean stopped;

    private final Properties settings = new Properties();
    private final String topic;
    private final long workMs;
    private final FileOutputStream events;
    private KafkaConsumer<String, String> consumer;

    private ChurnMember(String[] args, String path) throws IOException {
        settings.put("bootstrap.servers", args[0]);
        settings.put("group.id", args[1]);
        settings.put("auto.offset.reset", "earliest");
        settings.put("enable.auto.commit", "false");
        settings.put("partition.assignment.strategy", "org.apache.kafka.clients.consumer.RangeAssignor");
        settings.put("session.timeout.ms", args[3]);
        settings.put("heartbeat.interval.ms", args[4]);
        settings.put("max.poll.interval.ms", args[5]);
        settings.put("reconnect.backoff.max.ms", "500");
        settings.put("default.api.timeout.ms", "20000");
        topic = args[2];
        workMs = Long.parseLong(args[6]);
        events = new FileOutputStream(path, true);
    }

    public static void main(String[] args) throws Exception {
        List<Thread> threads = new ArrayList<>();
        for (int index = 7; index < args.length; index++) {
            threads.add(new Thread(new ChurnMember(args, args[index])));
        }
        Runtime.getRuntime().addShutdownHook(new Thread(() -> {
            stopped = true;
            for (Thread thread : threads) {
                try {
                    thread.join();
                } catch (InterruptedException ended) {
                    return;
                }
            }
        }));
        threads.forEach(Thread::start);
    }

    @Override
    public void run() {
        try {
            consumer = new KafkaConsumer<>(settings, new StringDeserializer(), new StringDeserializer());
            consumer.subscribe(List.of(topic), new Listener());
            while (!stopped) {
                turn();
            }
            consumer.close();
        } catch (Throwable failure) {
            write("crashed", text("error", failure.toString()));
            failure.printStackTrace();
        }
    }

    private void turn() {
        ConsumerRecords<String, String> polled;
        try {
            polled = consumer.poll(Duration.ofMillis(200));
        } catch (KafkaException failure) {
            write("trouble", text("error", failure.toString()));
            return;
        }
        if (polled.isEmpty()) {
            return;
        }
        List<String> rows = new ArrayList<>();
        Map<Integer, Long> offsets = new TreeMap<>();
        for (ConsumerRecord<String, String> record : polled) {
            rows.add("[" + record.partition() + "," + record.offset() + "," + record.value() + "]");
            offsets.put(record.partition(), record.offset() + 1);
        }
        write("handled", "\"records\":" + rows);
        try {
            Thread.sleep(workMs);
        } catch (InterruptedException ended) {
            return;
        }
        commit(offsets);
    }

    private void commit(Map<Integer, Long> offsets) {
        Map<TopicPartition, OffsetAndMetadata> asked = new TreeMap<>((a, b) -> a.partition() - b.partition());
        offsets.forEach((partition, offset) ->
            asked.put(new TopicPartition(topic, partition), new OffsetAndMetadata(offset)));
        long began = System.nanoTime();
        int before = generation();
        String error = "null";
        try {
            consumer.commitSync(asked);
        } catch (KafkaException failure) {
            error = quoted(failure.toString());
        }
        String known = before >= 0 && before == generation() ? String.valueOf(before) : "null";
        String pairs = offsets.entrySet().stream()
            .map(entry -> "\"" + entry.getKey() + "\":" + entry.getValue())
            .collect(Collectors.joining(","));
        write("commit", "\"began\":" + began + ",\"generation\":" + known
            + ",\"offsets\":{" + pairs + "},\"error\":" + error);
    }

    private int generation() {
        return consumer.groupMetadata().generationId();
    }

    private void write(String kind, String fields) {
        String line = "{\"e\":\"" + kind + "\",\"t\":" + System.nanoTime() + "," + fields + "}\n";
        try {
            // One write, so that kill -9 takes at most the last event.
            events.write(line.getBytes(StandardCharsets.UTF_8));
        } catch (IOException failure) {
            throw new IllegalStateException(failure);
        }
    }

    private static String text(String name, String value) {
        return "\"" + name + "\":" + quoted(value);
    }

    private static String quoted(String value) {
        return "\"" + value.replaceAll("[^ -~]", " ").replace("\\", "/").replace("\"", "'") + "\"";
    }

    private final class Listener implements ConsumerRebalanceListener {
        @Override
        public void onPartitionsAssigned(Collection<TopicPartition> partitions) {
            int generation = generation();
            write("assigned", "\"generation\":" + (generation >= 0 ? generation : "null") + ","
                + text("member", consumer.groupMetadata().memberId()) + "," + numbers(partitions));
        }

        @Override
        public void onPartitionsRevoked(Collection<TopicPartition> partitions) {
            write("revoked", "\"generation\":" + generation() + "," + numbers(partitions));
        }

        private String numbers(Collection<TopicPartition> partitions) {
            return "\"partitions\":" + partitions.stream().map(TopicPartition::partition).sorted().toList();
        }
    }
}
