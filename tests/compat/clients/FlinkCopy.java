import java.util.HashMap;
import java.util.Map;
import java.util.TreeMap;
import org.apache.flink.api.common.eventtime.WatermarkStrategy;
import org.apache.flink.api.common.serialization.SimpleStringSchema;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.connector.base.DeliveryGuarantee;
import org.apache.flink.connector.kafka.sink.KafkaRecordSerializationSchema;
import org.apache.flink.connector.kafka.sink.KafkaSink;
import org.apache.flink.connector.kafka.sink.KafkaSinkBuilder;
import org.apache.flink.connector.kafka.source.KafkaSource;
import org.apache.flink.connector.kafka.source.enumerator.initializer.OffsetsInitializer;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;

/**
 * A Flink job in one JVM that copies the values of one topic to another:
 * {@code FlinkCopy broker input output directory setting=value...}.
 *
 * <p>Checkpoints are kept in the directory. Settings are Flink's own, but for "naming", the sink's way to name
 * its transactions, where the connector has the choice, and "guarantee" (EXACTLY_ONCE).
 */
public final class FlinkCopy {
    private static final String PREFIX = "copy";

    public static void main(String[] args) throws Exception {
        Map<String, String> settings = new TreeMap<>(Map.of(
            "execution.checkpointing.interval", "1 s",
            "execution.checkpointing.dir", "file://" + args[3],
            "execution.checkpointing.externalized-checkpoint-retention", "RETAIN_ON_CANCELLATION",
            "execution.checkpointing.tolerable-failed-checkpoints", "100",
            "restart-strategy.type", "fixed-delay",
            "restart-strategy.fixed-delay.attempts", "100",
            "restart-strategy.fixed-delay.delay", "500 ms",
            "rest.port", "0",
            "taskmanager.memory.managed.size", "16m"));
        settings.put("taskmanager.memory.network.min", "16m");
        settings.put("taskmanager.memory.network.max", "16m");
        Map<String, String> own = new HashMap<>(Map.of("naming", "", "guarantee", "EXACTLY_ONCE"));
        for (int index = 4; index < args.length; index++) {
            String[] pair = args[index].split("=", 2);
            (own.containsKey(pair[0]) ? own : settings).put(pair[0], pair[1]);
        }
        StreamExecutionEnvironment job =
            StreamExecutionEnvironment.getExecutionEnvironment(Configuration.fromMap(settings));
        job.setParallelism(2);
        KafkaSource<String> source = KafkaSource.<String>builder()
            .setBootstrapServers(args[0])
            .setTopics(args[1])
            .setGroupId(PREFIX)
            .setStartingOffsets(OffsetsInitializer.earliest())
            .setValueOnlyDeserializer(new SimpleStringSchema())
            .build();
        job.fromSource(source, WatermarkStrategy.noWatermarks(), "in").uid("in")
            .sinkTo(sink(args[0], args[2], own)).uid("out");
        job.execute("copy");
    }

    private static KafkaSink<String> sink(String broker, String topic, Map<String, String> own) throws Exception {
        KafkaSinkBuilder<String> sink = KafkaSink.<String>builder()
            .setBootstrapServers(broker)
            .setDeliveryGuarantee(DeliveryGuarantee.valueOf(own.get("guarantee")))
            .setTransactionalIdPrefix(PREFIX)
            // Flink's own hour is more than brokers allow for.
            .setProperty("transaction.timeout.ms", "600000")
            .setRecordSerializer(KafkaRecordSerializationSchema.builder()
                .setTopic(topic)
                .setValueSerializationSchema(new SimpleStringSchema())
                .build());
        if (!own.get("naming").isEmpty()) {
            // Only newer connectors have it.
            Class<?> type = Class.forName("org.apache.flink.connector.kafka.sink.TransactionNamingStrategy");
            Object naming = type.getField(own.get("naming")).get(null);
            KafkaSinkBuilder.class.getMethod("setTransactionNamingStrategy", type).invoke(sink, naming);
        }
        return sink.build();
    }
}
