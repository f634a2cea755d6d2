import java.io.BufferedInputStream;
import java.io.BufferedOutputStream;
import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.io.EOFException;
import java.io.FileInputStream;
import java.io.FileOutputStream;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Properties;
import java.util.concurrent.Future;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.internals.RecordHeader;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/**
 * Apache Kafka's own client: {produce|consume} FILE BOOTSTRAP TOPIC CODEC COUNT; the file that SECURITY in the
 * environment names has further settings.
 */
public final class RoundTrip {
    public static void main(String[] args) throws Exception {
        if (args[0].equals("produce")) {
            produce(args[1], args[2], args[3], args[4]);
        } else {
            consume(args[1], args[2], args[3], Long.parseLong(args[5]));
        }
    }

    private static Properties security() throws IOException {
        Properties settings = new Properties();
        String file = System.getenv("SECURITY");
        if (file != null) {
            try (FileInputStream in = new FileInputStream(file)) {
                settings.load(in);
            }
        }
        return settings;
    }

    private static void produce(String file, String bootstrap, String topic, String codec) throws Exception {
        Properties settings = security();
        settings.put("bootstrap.servers", bootstrap);
        settings.put("compression.type", codec);
        settings.put("linger.ms", "20");
        settings.put("batch.size", "65536");
        List<Future<RecordMetadata>> sent = new ArrayList<>();
        try (DataInputStream in = new DataInputStream(new BufferedInputStream(new FileInputStream(file)));
             KafkaProducer<byte[], byte[]> producer =
                 new KafkaProducer<>(settings, new ByteArraySerializer(), new ByteArraySerializer())) {
            while (true) {
                long timestamp;
                try {
                    timestamp = in.readLong();
                } catch (EOFException end) {
                    break;
                }
                byte[] key = readBytes(in);
                byte[] value = readBytes(in);
                List<Header> headers = new ArrayList<>();
                for (int left = in.readInt(); left > 0; left--) {
                    headers.add(new RecordHeader(new String(readBytes(in), StandardCharsets.UTF_8), readBytes(in)));
                }
                sent.add(producer.send(new ProducerRecord<>(topic, 0, timestamp, key, value, headers)));
            }
            producer.flush();
            long last = -1;
            for (Future<RecordMetadata> future : sent) {
                long offset = future.get().offset();
                if (offset <= last) {
                    throw new IllegalStateException("offset " + offset + " after " + last);
                }
                last = offset;
            }
        }
    }

    private static void consume(String file, String bootstrap, String topic, long count) throws IOException {
        Properties settings = security();
        settings.put("bootstrap.servers", bootstrap);
        settings.put("auto.offset.reset", "none");
        settings.put("check.crcs", "true");
        TopicPartition partition = new TopicPartition(topic, 0);
        try (DataOutputStream out = new DataOutputStream(new BufferedOutputStream(new FileOutputStream(file)));
             KafkaConsumer<byte[], byte[]> consumer =
                 new KafkaConsumer<>(settings, new ByteArrayDeserializer(), new ByteArrayDeserializer())) {
            consumer.assign(Arrays.asList(partition));
            consumer.seek(partition, 0);
            long left = count;
            while (left > 0) {
                ConsumerRecords<byte[], byte[]> batch = consumer.poll(Duration.ofSeconds(90));
                if (batch.isEmpty()) {
                    throw new IllegalStateException(left + " records are missing");
                }
                for (ConsumerRecord<byte[], byte[]> record : batch) {
                    out.writeLong(record.timestamp());
                    writeBytes(out, record.key());
                    writeBytes(out, record.value());
                    Header[] headers = record.headers().toArray();
                    out.writeInt(headers.length);
                    for (Header header : headers) {
                        writeBytes(out, header.key().getBytes(StandardCharsets.UTF_8));
                        writeBytes(out, header.value());
                    }
                    left--;
                }
            }
        }
    }

    private static byte[] readBytes(DataInputStream in) throws IOException {
        int length = in.readInt();
        return length < 0 ? null : in.readNBytes(length);
    }

    private static void writeBytes(DataOutputStream out, byte[] bytes) throws IOException {
        if (bytes == null) {
            out.writeInt(-1);
        } else {
            out.writeInt(bytes.length);
            out.write(bytes);
        }
    }
}
