import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.concurrent.ExecutionException;
import java.util.stream.Collectors;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.Config;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.DeleteTopicsOptions;
import org.apache.kafka.clients.admin.DescribeClusterOptions;
import org.apache.kafka.clients.admin.DescribeConfigsOptions;
import org.apache.kafka.clients.admin.ListConsumerGroupOffsetsSpec;
import org.apache.kafka.clients.admin.ListTopicsOptions;
import org.apache.kafka.clients.admin.NewPartitionReassignment;
import org.apache.kafka.clients.admin.NewPartitions;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.admin.RecordsToDelete;
import org.apache.kafka.clients.admin.TopicDescription;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.common.Node;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.acl.AclBindingFilter;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.quota.ClientQuotaAlteration;
import org.apache.kafka.common.quota.ClientQuotaEntity;
import org.apache.kafka.common.quota.ClientQuotaFilter;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;

/**
 * What user interfaces ask of a broker while somebody looks at topics and groups, browses records and resets
 * offsets: {@code UserInterface broker name topic group time}. The names are kafdrop, akhq and kafka-ui. Each
 * line of standard output is an answer, but for what differs from broker to broker, as ids do.
 *
 * <p>Topic and group are there; time is the timestamp of a record in the middle.
 */
public final class UserInterface {
    private static final Duration POLL = Duration.ofMillis(200);
    private static final int LOOKS = 50;
    private final String broker;
    private final String topic;
    private final String group;
    private final long time;
    private final Admin admin;

    private UserInterface(String broker, String topic, String group, long time) {
        this.broker = broker;
        this.topic = topic;
        this.group = group;
        this.time = time;
        this.admin = Admin.create(Map.of("bootstrap.servers", broker));
    }

    public static void main(String[] args) throws Exception {
        var asked = new UserInterface(args[0], args[2], args[3], Long.parseLong(args[4]));
        switch (args[1]) {
            case "kafdrop" -> asked.kafdrop();
            case "akhq" -> asked.akhq();
            case "kafka-ui" -> asked.kafkaUi();
            default -> throw new IllegalArgumentException(args[1]);
        }
        asked.admin.close();
        System.out.println("done");
    }

    /** KafkaHighLevelAdminClient and KafkaHighLevelConsumer. */
    private void kafdrop() throws Exception {
        var cluster = admin.describeCluster();
        say("nodes", cluster.nodes().get().size());
        say("controller", cluster.controller().get() != null);
        say("cluster id", !cluster.clusterId().get().isEmpty());
        Map<String, Object> settings = Map.of(
            "enable.auto.commit", false, "max.poll.records", 100, "auto.offset.reset", "earliest",
            "client.id", "kafdrop-consumer", "isolation.level", "read_committed");
        try (var consumer = consumer(settings)) {
            var topics = new TreeMap<>(consumer.listTopics());
            topics.keySet().removeIf(name -> name.startsWith("__"));
            topics.forEach((name, parts) -> parts.stream().sorted((a, b) -> a.partition() - b.partition())
                .forEach(part -> say("partition", name, part.partition(), part.replicas().length,
                    part.inSyncReplicas().length, part.offlineReplicas().length, part.leader() != null)));
            var all = partitions();
            consumer.assign(all);
            say("begin", sorted(consumer.beginningOffsets(all)));
            say("end", sorted(consumer.endOffsets(all)));
            configs(ConfigResource.Type.TOPIC, topic, "cleanup.policy", "retention.ms", "max.message.bytes");
            acls();
            groups();
            say("browsed", browse(consumer, new TopicPartition(topic, 0), 3, 4));
            var places = consumer.offsetsForTimes(all.stream().collect(Collectors.toMap(p -> p, p -> time)));
            say("of a time", places.entrySet().stream()
                .map(e -> e.getKey() + " " + (e.getValue() == null ? null : e.getValue().offset()))
                .sorted().toList());
        }
        admin.createTopics(List.of(new NewTopic("made", 3, (short) 1))).all().get();
        say("made", describe("made").partitions().size());
        admin.deleteTopics(List.of("made"), new DeleteTopicsOptions().timeoutMs(5000)).all().get();
    }

    /** AbstractKafkaWrapper, RecordRepository and ConsumerGroupRepository. */
    private void akhq() throws Exception {
        var nodes = admin.describeCluster().nodes().get().stream().map(Node::id).toList();
        var listings = admin.listTopics(new ListTopicsOptions().listInternal(true)).listings().get();
        say("topics", listings.stream().map(row -> row.name() + " " + row.isInternal()).sorted().toList());
        describe(topic).partitions().forEach(part -> say("partition", part.partition(), part.leader() != null,
            part.replicas().size(), part.isr().size()));
        var dirs = admin.describeLogDirs(nodes).allDescriptions().get();
        var sizes = new TreeMap<String, Boolean>();
        dirs.values().forEach(of -> of.values().forEach(dir -> dir.replicaInfos().forEach((part, info) -> {
            if (part.topic().equals(topic)) {
                sizes.put(part.toString(), info.size() > 0 && info.offsetLag() == 0 && !info.isFuture());
            }
        })));
        say("log directories", sizes);
        try (var consumer = consumer(Map.of("max.poll.records", 9, "enable.auto.commit", false))) {
            consumer.assign(partitions());
            consumer.endOffsets(consumer.assignment())
                .forEach((part, end) -> consumer.seek(part, Math.max(0, end - 2)));
            say("last records", poll(consumer, 6));
        }
        groups();
        var found = admin.describeConsumerGroups(List.of(group)).all().get().get(group);
        say("group", found.state(), found.members().size(), found.isSimpleConsumerGroup(),
            found.coordinator() != null);
        // Offsets are reset by a consumer of the group that joins nothing.
        try (var consumer = consumer(Map.of("group.id", group, "enable.auto.commit", false))) {
            consumer.commitSync(Map.of(new TopicPartition(topic, 1), new OffsetAndMetadata(2)));
        }
        groups();
        admin.createTopics(Set.of(new NewTopic("made", 2, (short) 1))).all().get();
        var resource = new ConfigResource(ConfigResource.Type.TOPIC, "made");
        var wanted = new Config(List.of(new ConfigEntry("retention.ms", "60000")));
        alterConfigs(Map.of(resource, wanted));
        configs(ConfigResource.Type.TOPIC, "made", "retention.ms", "cleanup.policy");
        acls();
        admin.deleteConsumerGroupOffsets(group, Set.of(new TopicPartition(topic, 0))).all().get();
        groups();
        admin.deleteConsumerGroups(Set.of(group)).all().get();
        groups();
        // A topic is emptied.
        admin.deleteRecords(partitions().stream()
            .collect(Collectors.toMap(part -> part, part -> RecordsToDelete.beforeOffset(-1)))).all().get();
        offsets("begin", OffsetSpec.earliest());
        admin.deleteTopics(Set.of("made")).all().get();
    }

    /** ReactiveAdminClient. */
    private void kafkaUi() throws Exception {
        int controller = admin.describeCluster().controller().get().id();
        configs(ConfigResource.Type.BROKER, Integer.toString(controller), "delete.topic.enable");
        acls();
        var options = new DescribeClusterOptions().includeAuthorizedOperations(true);
        say("operations", new TreeSet<>(admin.describeCluster(options).authorizedOperations().get()));
        var all = new ListTopicsOptions().listInternal(true);
        say("topics", new TreeSet<>(admin.listTopics(all).names().get()));
        for (var description : admin.describeTopics(List.of(topic)).topicNameValues().values()) {
            say("topic", description.get().partitions().size(), description.get().authorizedOperations());
        }
        documented("retention.ms", "cleanup.policy");
        say("log directories", admin.describeLogDirs(List.of(controller)).allDescriptions().get().size());
        offsets("begin", OffsetSpec.earliest());
        offsets("end", OffsetSpec.latest());
        offsets("newest", OffsetSpec.maxTimestamp());
        offsets("of a time", OffsetSpec.forTimestamp(time));
        var spec = new ListConsumerGroupOffsetsSpec().topicPartitions(null);
        say("offsets", sorted(admin.listConsumerGroupOffsets(Map.of(group, spec)).all().get().get(group)));
        admin.alterConsumerGroupOffsets(group, Map.of(
            new TopicPartition(topic, 0), new OffsetAndMetadata(1),
            new TopicPartition(topic, 2), new OffsetAndMetadata(0))).all().get();
        groups();
        var producers = admin.describeProducers(partitions()).all().get();
        var active = new TreeMap<String, Integer>();
        producers.forEach((part, state) -> active.put(part.toString(), state.activeProducers().size()));
        say("producers", active);
        made();
        say("quotas", admin.describeClientQuotas(ClientQuotaFilter.all()).entities().get().size());
        var entity = new ClientQuotaEntity(Map.of(ClientQuotaEntity.CLIENT_ID, "shop"));
        quota(entity, 1e9);
        // A change may take a moment to be seen, in KRaft mode.
        var quotas = admin.describeClientQuotas(ClientQuotaFilter.all()).entities().get();
        for (int looks = 0; quotas.isEmpty() && looks < LOOKS; looks++) {
            Thread.sleep(POLL.toMillis());
            quotas = admin.describeClientQuotas(ClientQuotaFilter.all()).entities().get();
        }
        say("quotas", quotas);
        quota(entity, null);
        var first = new TopicPartition(topic, 0);
        admin.deleteRecords(Map.of(first, RecordsToDelete.beforeOffset(2))).all().get();
        offsets("begin", OffsetSpec.earliest());
        admin.deleteConsumerGroupOffsets(group, Set.of(first)).all().get();
        admin.deleteConsumerGroups(List.of(group)).all().get();
        groups();
        try {
            admin.deleteConsumerGroups(List.of(group)).all().get();
        } catch (ExecutionException error) {
            say("no group", error.getCause().getClass().getSimpleName());
        }
    }

    /** A topic that is made with settings, changed, grown, assigned anew and deleted. */
    private void made() throws Exception {
        var made = new NewTopic("made", Optional.of(1), Optional.empty());
        admin.createTopics(List.of(made.configs(Map.of("retention.ms", "60000")))).all().get();
        var changes = List.of(
            new AlterConfigOp(new ConfigEntry("retention.ms", ""), AlterConfigOp.OpType.DELETE),
            new AlterConfigOp(new ConfigEntry("cleanup.policy", "compact"), AlterConfigOp.OpType.SET));
        var resource = new ConfigResource(ConfigResource.Type.TOPIC, "made");
        admin.incrementalAlterConfigs(Map.of(resource, changes)).all().get();
        configs(ConfigResource.Type.TOPIC, "made", "retention.ms", "cleanup.policy");
        admin.createPartitions(Map.of("made", NewPartitions.increaseTo(3))).all().get();
        var grown = describe("made");
        say("grown", grown.partitions().size());
        var replicas = grown.partitions().get(0).replicas().stream().map(Node::id).toList();
        admin.alterPartitionReassignments(Map.of(
            new TopicPartition("made", 0), Optional.of(new NewPartitionReassignment(replicas)))).all().get();
        admin.deleteTopics(List.of("made")).all().get();
    }

    private void quota(ClientQuotaEntity entity, Double value) throws Exception {
        var change = new ClientQuotaAlteration.Op("producer_byte_rate", value);
        admin.alterClientQuotas(List.of(new ClientQuotaAlteration(entity, List.of(change)))).all().get();
    }

    @SuppressWarnings("deprecation")
    private void alterConfigs(Map<ConfigResource, Config> configs) throws Exception {
        admin.alterConfigs(configs).all().get();
    }

    private void acls() throws Exception {
        try {
            say("acls", admin.describeAcls(AclBindingFilter.ANY).values().get().size());
        } catch (ExecutionException error) {
            say("acls", error.getCause().getClass().getSimpleName());
        }
    }

    private void configs(ConfigResource.Type type, String name, String... keys) throws Exception {
        var resource = new ConfigResource(type, name);
        Config found = admin.describeConfigs(List.of(resource)).all().get().get(resource);
        for (String key : keys) {
            say("setting", key, found.get(key).value(), found.get(key).source());
        }
    }

    private void documented(String... keys) throws Exception {
        var resource = new ConfigResource(ConfigResource.Type.TOPIC, topic);
        var options = new DescribeConfigsOptions().includeSynonyms(true).includeDocumentation(true);
        Config found = admin.describeConfigs(List.of(resource), options).values().get(resource).get();
        for (String key : keys) {
            ConfigEntry entry = found.get(key);
            say("setting", key, entry.type(), entry.documentation() != null,
                entry.synonyms().stream().map(ConfigEntry.ConfigSynonym::name).toList());
        }
    }

    private void groups() throws Exception {
        for (var row : new TreeMap<>(admin.listConsumerGroups().valid().get().stream()
                .collect(Collectors.toMap(row -> row.groupId(), row -> row))).values()) {
            say("group", row.groupId(), row.state().orElse(null), row.isSimpleConsumerGroup(),
                sorted(admin.listConsumerGroupOffsets(row.groupId()).partitionsToOffsetAndMetadata().get()));
        }
    }

    private void offsets(String name, OffsetSpec spec) throws Exception {
        var found = new TreeMap<String, Long>();
        var asked = partitions().stream().collect(Collectors.toMap(part -> part, part -> spec));
        admin.listOffsets(asked).all().get()
            .forEach((part, place) -> found.put(part.toString(), place.offset()));
        say(name, found);
    }

    private TopicDescription describe(String name) throws Exception {
        return admin.describeTopics(List.of(name)).allTopicNames().get().get(name);
    }

    private List<TopicPartition> partitions() throws Exception {
        return describe(topic).partitions().stream()
            .map(part -> new TopicPartition(topic, part.partition())).toList();
    }

    private KafkaConsumer<byte[], byte[]> consumer(Map<String, Object> settings) {
        var all = new HashMap<>(settings);
        all.put("bootstrap.servers", broker);
        return new KafkaConsumer<>(all, new ByteArrayDeserializer(), new ByteArrayDeserializer());
    }

    private static List<String> browse(
            KafkaConsumer<byte[], byte[]> consumer, TopicPartition part, long offset, int count) {
        consumer.assign(List.of(part));
        consumer.seek(part, offset);
        return poll(consumer, count);
    }

    /** So many of the next records, as text, in order. */
    private static List<String> poll(KafkaConsumer<byte[], byte[]> consumer, int count) {
        var found = new ArrayList<ConsumerRecord<byte[], byte[]>>();
        for (int empty = 0; found.size() < count && empty < LOOKS; empty++) {
            consumer.poll(POLL).forEach(found::add);
        }
        return found.stream().map(record -> record.partition() + ":" + record.offset() + " "
            + new String(record.key()) + "=" + new String(record.value()) + " " + record.timestampType()
            + " " + record.timestamp()).sorted().limit(count).toList();
    }

    private static <T> Map<String, Object> sorted(Map<TopicPartition, T> rows) {
        var found = new TreeMap<String, Object>();
        rows.forEach((part, value) ->
            found.put(part.toString(), value instanceof OffsetAndMetadata place ? place.offset() : value));
        return found;
    }

    private static void say(String what, Object... values) {
        String told = Arrays.stream(values).map(String::valueOf).collect(Collectors.joining(" "));
        System.out.println(what + ": " + told);
    }
}
