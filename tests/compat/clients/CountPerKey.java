import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.apache.samza.application.StreamApplication;
import org.apache.samza.application.descriptors.StreamApplicationDescriptor;
import org.apache.samza.config.MapConfig;
import org.apache.samza.context.Context;
import org.apache.samza.operators.KV;
import org.apache.samza.operators.functions.MapFunction;
import org.apache.samza.runtime.LocalApplicationRunner;
import org.apache.samza.serializers.IntegerSerde;
import org.apache.samza.serializers.KVSerde;
import org.apache.samza.serializers.StringSerde;
import org.apache.samza.storage.kv.descriptors.RocksDbTableDescriptor;
import org.apache.samza.system.SystemStreamMetadata.OffsetType;
import org.apache.samza.system.kafka.descriptors.KafkaSystemDescriptor;
import org.apache.samza.table.ReadWriteTable;

/**
 * A processor of a Samza application: {@code CountPerKey broker zookeeper directory replicas setting=value...}.
 *
 * <p>The topic "input" is repartitioned by key, the values of each key are counted in a store in the directory
 * with a changelog topic, and each goes to "output" as "value count". Processors share the tasks through
 * ZooKeeper. Each says on standard output which ones it has ("TASK name") and has no longer ("LEFT name"), and
 * closes in good order when its standard input ends.
 */
public final class CountPerKey implements StreamApplication {
    private static final KVSerde<String, String> TEXTS = KVSerde.of(new StringSerde(), new StringSerde());
    private final String broker;
    private final String zookeeper;
    private final String replicas;

    private CountPerKey(String broker, String zookeeper, String replicas) {
        this.broker = broker;
        this.zookeeper = zookeeper;
        this.replicas = replicas;
    }

    public static void main(String[] args) throws Exception {
        Map<String, String> settings = new HashMap<>(Map.of(
            "app.name", "counter",
            "app.id", "1",
            "job.coordinator.factory", "org.apache.samza.zk.ZkJobCoordinatorFactory",
            "job.coordinator.zk.connect", args[1],
            "task.name.grouper.factory", "org.apache.samza.container.grouper.task.GroupByContainerIdsFactory",
            "task.checkpoint.factory", "org.apache.samza.checkpoint.kafka.KafkaCheckpointManagerFactory",
            "task.checkpoint.replication.factor", args[3],
            "job.logged.store.base.dir", args[2],
            "job.non-logged.store.base.dir", args[2]));
        // The coordinator's topic is opened before describe(): its system must be in the configuration.
        settings.putAll(Map.of(
            "job.default.system", "kafka",
            "job.coordinator.system", "kafka",
            "job.coordinator.replication.factor", args[3],
            "systems.kafka.samza.factory", "org.apache.samza.system.kafka.KafkaSystemFactory",
            "systems.kafka.samza.delete.committed.messages", "true",
            "systems.kafka.consumer.zookeeper.connect", args[1],
            "systems.kafka.consumer.bootstrap.servers", args[0],
            "systems.kafka.producer.bootstrap.servers", args[0]));
        for (int index = 4; index < args.length; index++) {
            String[] pair = args[index].split("=", 2);
            settings.put(pair[0], pair[1]);
        }
        var runner = new LocalApplicationRunner(new CountPerKey(args[0], args[1], args[3]), new MapConfig(settings));
        Thread input = new Thread(() -> {
            try {
                while (System.in.read() >= 0) { }
            } catch (java.io.IOException end) {
                say("FAILED " + end);
            }
            runner.kill();
        });
        input.setDaemon(true);
        input.start();
        runner.run();
        runner.waitForFinish();
        say("STATUS " + runner.status());
        System.exit(0);
    }

    @Override
    public void describe(StreamApplicationDescriptor application) {
        KafkaSystemDescriptor kafka = new KafkaSystemDescriptor("kafka")
            .withProducerBootstrapServers(List.of(broker))
            .withConsumerZkConnect(List.of(zookeeper))
            .withConsumerAutoOffsetReset("smallest")
            .withConsumerConfigs(Map.of("bootstrap.servers", broker))
            .withDefaultStreamConfigs(Map.of("replication.factor", replicas))
            .withDefaultStreamOffsetDefault(OffsetType.OLDEST);
        application.withDefaultSystem(kafka);
        application.getTable(
            new RocksDbTableDescriptor<>("counts", KVSerde.of(new StringSerde(), new IntegerSerde()))
                .withChangelogStream("counts-changelog")
                .withChangelogReplicationFactor(Integer.parseInt(replicas)));
        application.getInputStream(kafka.getInputDescriptor("input", TEXTS))
            .partitionBy(KV::getKey, KV::getValue, TEXTS, "by-key")
            .map(new Counter())
            .sendTo(application.getOutputStream(kafka.getOutputDescriptor("output", TEXTS)));
    }

    private static synchronized void say(String line) {
        System.out.println(line);
    }

    private static final class Counter implements MapFunction<KV<String, String>, KV<String, String>> {
        private transient ReadWriteTable<String, Integer> counts;
        private transient String task;

        @Override
        public void init(Context context) {
            counts = context.getTaskContext().<String, Integer>getTable("counts");
            task = context.getTaskContext().getTaskModel().getTaskName().getTaskName();
            say("TASK " + task);
        }

        @Override
        public KV<String, String> apply(KV<String, String> record) {
            Integer before = counts.get(record.getKey());
            int count = before == null ? 1 : before + 1;
            counts.put(record.getKey(), count);
            return KV.of(record.getKey(), record.getValue() + " " + count);
        }

        @Override
        public void close() {
            say("LEFT " + task);
        }
    }
}
