import java.io.BufferedWriter;
import java.io.FileWriter;
import java.time.Duration;
import java.util.Arrays;
import java.util.Properties;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.AtomicBoolean;
import org.apache.kafka.clients.consumer.CommitFailedException;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.errors.RebalanceInProgressException;
import org.apache.kafka.common.serialization.StringDeserializer;

/**
 * A member of a group until SIGTERM, which makes it leave: BOOTSTRAP GROUP TOPIC OUTPUT [name=value ...].
 * Every record's value goes into the output file before its offset is committed. "pattern=..." subscribes by
 * a regular expression of the broker instead of the topic.
 */
public final class GroupMember {
    public static void main(String[] args) throws Exception {
        Properties settings = new Properties();
        settings.put("bootstrap.servers", args[0]);
        settings.put("group.id", args[1]);
        settings.put("auto.offset.reset", "earliest");
        settings.put("enable.auto.commit", "false");
        settings.put("key.deserializer", StringDeserializer.class.getName());
        settings.put("value.deserializer", StringDeserializer.class.getName());
        settings.put("reconnect.backoff.max.ms", "500");
        settings.put("metadata.max.age.ms", "1000");
        String pattern = null;
        for (String setting : Arrays.asList(args).subList(4, args.length)) {
            String[] parts = setting.split("=", 2);
            if (parts[0].equals("pattern")) {
                pattern = parts[1];
            } else {
                settings.put(parts[0], parts[1]);
            }
        }
        AtomicBoolean stopped = new AtomicBoolean();
        CountDownLatch closed = new CountDownLatch(1);
        Runtime.getRuntime().addShutdownHook(new Thread(() -> {
            stopped.set(true);
            try {
                closed.await();
            } catch (InterruptedException ignored) {
                Thread.currentThread().interrupt();
            }
        }));
        try (BufferedWriter out = new BufferedWriter(new FileWriter(args[3], true));
             KafkaConsumer<String, String> consumer = new KafkaConsumer<>(settings)) {
            if (pattern == null) {
                consumer.subscribe(Arrays.asList(args[2]));
            } else {
                // Not there before Kafka 4.
                Class<?> kind = Class.forName("org.apache.kafka.clients.consumer.SubscriptionPattern");
                Object wanted = kind.getConstructor(String.class).newInstance(pattern);
                KafkaConsumer.class.getMethod("subscribe", kind).invoke(consumer, wanted);
            }
            while (!stopped.get()) {
                ConsumerRecords<String, String> records = consumer.poll(Duration.ofMillis(200));
                if (records.isEmpty()) {
                    continue;
                }
                for (ConsumerRecord<String, String> record : records) {
                    out.write(record.value());
                    out.newLine();
                }
                out.flush();
                try {
                    consumer.commitSync();
                } catch (CommitFailedException | RebalanceInProgressException rebalanced) {
                    // The next owner handles these records again.
                    System.err.println("not committed: " + rebalanced.getMessage());
                }
            }
        } finally {
            closed.countDown();
        }
    }
}
