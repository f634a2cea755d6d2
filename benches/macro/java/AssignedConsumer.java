import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Properties;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.PartitionInfo;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;

/**
 * What kafka-consumer-perf-test measures, by assignment instead of by group: BOOTSTRAP TOPIC RECORDS.
 * Prints "bytes milliseconds" from the first poll to the last record; settings as that tool has them.
 */
public final class AssignedConsumer {
    public static void main(String[] args) {
        Properties settings = new Properties();
        settings.put("bootstrap.servers", args[0]);
        settings.put("receive.buffer.bytes", Integer.toString(2 * 1024 * 1024));
        settings.put("max.partition.fetch.bytes", Integer.toString(1024 * 1024));
        settings.put("check.crcs", "false");
        long wanted = Long.parseLong(args[2]);
        try (KafkaConsumer<byte[], byte[]> consumer =
                 new KafkaConsumer<>(settings, new ByteArrayDeserializer(), new ByteArrayDeserializer())) {
            List<TopicPartition> partitions = new ArrayList<>();
            for (PartitionInfo info : consumer.partitionsFor(args[1])) {
                partitions.add(new TopicPartition(info.topic(), info.partition()));
            }
            consumer.assign(partitions);
            consumer.seekToBeginning(partitions);
            long[] bytes = {0};
            long records = 0;
            long began = System.nanoTime();
            while (records < wanted) {
                ConsumerRecords<byte[], byte[]> batch = consumer.poll(Duration.ofSeconds(30));
                if (batch.isEmpty()) {
                    throw new IllegalStateException((wanted - records) + " records are missing");
                }
                records += batch.count();
                batch.forEach(record -> bytes[0] += record.value() == null ? 0 : record.value().length);
            }
            System.out.println(bytes[0] + " " + (System.nanoTime() - began) / 1_000_000);
        }
    }
}
