import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Future;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.errors.RetriableException;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;

/**
 * What the Kafka plugins of Logstash do, with the settings that they give the client unless told otherwise:
 * {@code LogstashPlugin output|input broker topic count setting=value...}.
 *
 * <p>"output" sends as many events in the batches of a pipeline worker, each of which is sent again until all of
 * it is acknowledged; says "half" in the middle, and "done" with the number of those that were given up.
 * "input" has two consumer threads in one group, and says "event TEXT" of each event until it is killed.
 */
public final class LogstashPlugin {
    private static final int BATCH = 125;
    private static final int THREADS = 2;
    private static final long RETRY_MS = 100;
    private static final Map<String, Object> COMMON = Map.of(
        "client.dns.lookup", "use_all_dns_ips",
        "connections.max.idle.ms", "540000",
        "metadata.max.age.ms", "300000",
        "request.timeout.ms", "40000",
        "receive.buffer.bytes", "32768",
        "send.buffer.bytes", "131072",
        "reconnect.backoff.ms", "50",
        "retry.backoff.ms", "100");
    private static final Map<String, Object> OUTPUT = Map.of(
        "acks", "1",
        "batch.size", "16384",
        "buffer.memory", "33554432",
        "compression.type", "none",
        "client.id", "logstash",
        "linger.ms", "5",
        "max.request.size", "1048576");
    private static final Map<String, Object> INPUT = Map.of(
        "group.id", "logstash",
        "auto.offset.reset", "earliest",
        "auto.commit.interval.ms", "5000",
        "enable.auto.commit", "true",
        "check.crcs", "true",
        "fetch.max.wait.ms", "500",
        "max.partition.fetch.bytes", "1048576",
        "max.poll.records", "500",
        "heartbeat.interval.ms", "3000",
        "session.timeout.ms", "10000");

    public static void main(String[] args) throws Exception {
        Map<String, Object> settings = new HashMap<>(COMMON);
        boolean sends = args[0].equals("output");
        settings.putAll(sends ? OUTPUT : INPUT);
        settings.put("bootstrap.servers", args[1]);
        for (int index = 4; index < args.length; index++) {
            String[] pair = args[index].split("=", 2);
            settings.put(pair[0], pair[1]);
        }
        if (sends) {
            send(settings, args[2], Integer.parseInt(args[3]));
        } else {
            for (int number = 0; number < THREADS; number++) {
                Map<String, Object> own = new HashMap<>(settings);
                own.put("client.id", "logstash-" + number);
                new Thread(() -> receive(own, args[2])).start();
            }
        }
    }

    private static void send(Map<String, Object> settings, String topic, int count) throws Exception {
        int givenUp = 0;
        try (var producer = new KafkaProducer<>(settings, new StringSerializer(), new StringSerializer())) {
            for (int first = 0; first < count; first += BATCH) {
                if (first <= count / 2 && first + BATCH > count / 2) {
                    System.out.println("half");
                }
                List<ProducerRecord<String, String>> batch = new ArrayList<>();
                for (int number = first; number < Math.min(count, first + BATCH); number++) {
                    batch.add(new ProducerRecord<>(topic, "{\"message\":\"event " + number + "\"}"));
                }
                while (!batch.isEmpty()) {
                    List<Future<RecordMetadata>> answers = new ArrayList<>();
                    for (ProducerRecord<String, String> event : batch) {
                        answers.add(producer.send(event));
                    }
                    List<ProducerRecord<String, String>> again = new ArrayList<>();
                    for (int index = 0; index < answers.size(); index++) {
                        try {
                            answers.get(index).get();
                        } catch (ExecutionException failure) {
                            if (failure.getCause() instanceof RetriableException) {
                                again.add(batch.get(index));
                            } else {
                                givenUp++;
                                System.out.println("given up: " + failure.getCause());
                            }
                        }
                    }
                    batch = again;
                    if (!batch.isEmpty()) {
                        Thread.sleep(RETRY_MS);
                    }
                }
            }
        }
        System.out.println("done, " + givenUp + " given up");
    }

    private static void receive(Map<String, Object> settings, String topic) {
        try (var consumer = new KafkaConsumer<>(settings, new StringDeserializer(), new StringDeserializer())) {
            consumer.subscribe(List.of(topic));
            while (true) {
                StringBuilder said = new StringBuilder();
                for (ConsumerRecord<String, String> event : consumer.poll(Duration.ofMillis(100))) {
                    said.append("event ").append(event.value()).append('\n');
                }
                if (said.length() > 0) {
                    System.out.print(said);
                }
            }
        }
    }
}
