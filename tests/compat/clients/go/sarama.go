package main

import (
	"context"
	"errors"
	"time"

	"github.com/IBM/sarama"
	"github.com/xdg-go/scram"
)

var saramaCodecs = map[string]sarama.CompressionCodec{
	"none":   sarama.CompressionNone,
	"gzip":   sarama.CompressionGZIP,
	"snappy": sarama.CompressionSnappy,
	"lz4":    sarama.CompressionLZ4,
	"zstd":   sarama.CompressionZSTD,
}

var saramaBalancers = map[string]func() sarama.BalanceStrategy{
	"range":              sarama.NewBalanceStrategyRange,
	"roundrobin":         sarama.NewBalanceStrategyRoundRobin,
	"sticky":             sarama.NewBalanceStrategySticky,
	"cooperative-sticky": sarama.NewBalanceStrategyCooperativeSticky,
}

// saramaConfig asks for the newest protocol that the library speaks with a 3.9 cluster.
func saramaConfig() *sarama.Config {
	config := sarama.NewConfig()
	config.Version = sarama.V3_9_0_0
	config.Consumer.Return.Errors = false
	secure := readSecurity()
	if used := secure.tls(); used != nil {
		config.Net.TLS.Enable, config.Net.TLS.Config = true, used
	}
	if secure.Mechanism != "" {
		config.Net.SASL.Enable = true
		config.Net.SASL.Mechanism = sarama.SASLMechanism(secure.Mechanism)
		config.Net.SASL.User, config.Net.SASL.Password = secure.User, secure.Password
		config.Net.SASL.SCRAMClientGeneratorFunc = func() sarama.SCRAMClient { return &saramaScram{secure: secure} }
		config.Net.SASL.TokenProvider = saramaToken(secure.Token)
	}
	return config
}

type saramaToken string

func (t saramaToken) Token() (*sarama.AccessToken, error) {
	return &sarama.AccessToken{Token: string(t)}, nil
}

// saramaScram is what the library leaves to others, as its example has it.
type saramaScram struct {
	secure       security
	conversation *scram.ClientConversation
}

func (s *saramaScram) Begin(user, password, authzID string) error {
	hash := scram.SHA256
	if s.secure.Mechanism == "SCRAM-SHA-512" {
		hash = scram.SHA512
	}
	client, err := hash.NewClient(user, password, authzID)
	if err == nil {
		s.conversation = client.NewConversation()
	}
	return err
}

func (s *saramaScram) Step(challenge string) (string, error) { return s.conversation.Step(challenge) }
func (s *saramaScram) Done() bool                            { return s.conversation.Done() }

func saramaProduce(bootstrap, topic, codec string, records []record) {
	config := saramaConfig()
	config.Producer.Compression = saramaCodecs[codec]
	config.Producer.Idempotent = true
	config.Producer.RequiredAcks = sarama.WaitForAll
	config.Producer.Return.Successes = true
	config.Producer.Partitioner = sarama.NewManualPartitioner
	config.Net.MaxOpenRequests = 1
	producer, err := sarama.NewSyncProducer([]string{bootstrap}, config)
	check(err)
	var sent []*sarama.ProducerMessage
	for _, item := range records {
		one := &sarama.ProducerMessage{Topic: topic, Timestamp: time.UnixMilli(item.timestamp)}
		if item.key != nil {
			one.Key = sarama.ByteEncoder(item.key)
		}
		if item.value != nil {
			one.Value = sarama.ByteEncoder(item.value)
		}
		for _, part := range item.headers {
			one.Headers = append(one.Headers, sarama.RecordHeader{Key: []byte(part.name), Value: part.value})
		}
		sent = append(sent, one)
	}
	check(producer.SendMessages(sent))
	check(producer.Close())
}

func saramaConsume(bootstrap, topic string, count int) []record {
	consumer, err := sarama.NewConsumer([]string{bootstrap}, saramaConfig())
	check(err)
	partition, err := consumer.ConsumePartition(topic, 0, sarama.OffsetOldest)
	check(err)
	var found []record
	for len(found) < count {
		one := <-partition.Messages()
		item := record{timestamp: one.Timestamp.UnixMilli(), key: one.Key, value: one.Value}
		for _, part := range one.Headers {
			item.headers = append(item.headers, header{string(part.Key), part.Value})
		}
		found = append(found, item)
	}
	check(partition.Close())
	check(consumer.Close())
	return found
}

type saramaHandler struct{ handle func(int, int64, []byte) }

func (saramaHandler) Setup(sarama.ConsumerGroupSession) error   { return nil }
func (saramaHandler) Cleanup(sarama.ConsumerGroupSession) error { return nil }

func (h saramaHandler) ConsumeClaim(session sarama.ConsumerGroupSession, claim sarama.ConsumerGroupClaim) error {
	for one := range claim.Messages() {
		h.handle(int(one.Partition), one.Offset, one.Value)
		session.MarkMessage(one, "")
		// A commit takes this library 50 ms, with any broker.
		if len(claim.Messages()) == 0 {
			session.Commit()
		}
	}
	return nil
}

func saramaMember(
	ctx context.Context, bootstrap, topic, group, balancer string, handle func(int, int64, []byte),
) {
	config := saramaConfig()
	config.Consumer.Offsets.Initial = sarama.OffsetOldest
	config.Consumer.Offsets.AutoCommit.Enable = false
	config.Consumer.Group.Heartbeat.Interval = 200 * time.Millisecond
	config.Consumer.Group.Rebalance.GroupStrategies = []sarama.BalanceStrategy{saramaBalancers[balancer]()}
	member, err := sarama.NewConsumerGroup([]string{bootstrap}, group, config)
	check(err)
	for ctx.Err() == nil {
		check(member.Consume(ctx, []string{topic}, saramaHandler{handle}))
	}
	check(member.Close())
}

type saramaAdministration struct {
	client sarama.Client
	sarama.ClusterAdmin
}

func saramaAdmin(bootstrap string) administration {
	client, err := sarama.NewClient([]string{bootstrap}, saramaConfig())
	check(err)
	admin, err := sarama.NewClusterAdminFromClient(client)
	check(err)
	return saramaAdministration{client, admin}
}

func saramaCode(err error) int {
	var answered sarama.KError
	if err != nil && !errors.As(err, &answered) {
		check(err)
	}
	return int(answered)
}

func (s saramaAdministration) createTopic(topic string, partitions int, configs map[string]string) int {
	given := map[string]*string{}
	for name, value := range configs {
		given[name] = &value
	}
	detail := sarama.TopicDetail{NumPartitions: int32(partitions), ReplicationFactor: 1, ConfigEntries: given}
	return saramaCode(s.CreateTopic(topic, &detail, false))
}

func (s saramaAdministration) addPartitions(topic string, total int) {
	check(s.CreatePartitions(topic, int32(total), nil, false))
}

func (s saramaAdministration) partitions(topic string) []int {
	topics, err := s.DescribeTopics([]string{topic})
	check(err)
	found := make([]int, len(topics[0].Partitions))
	for index := range found {
		found[index] = index
	}
	return found
}

func (s saramaAdministration) config(topic, name string) (string, bool) {
	entries, err := s.DescribeConfig(sarama.ConfigResource{
		Type: sarama.TopicResource, Name: topic, ConfigNames: []string{name}})
	check(err)
	return entries[0].Value, entries[0].Source == sarama.SourceTopic
}

func (s saramaAdministration) alterConfig(topic, name, value string) {
	entry := sarama.IncrementalAlterConfigsEntry{Operation: sarama.IncrementalAlterConfigsOperationSet, Value: &value}
	check(s.IncrementalAlterConfig(sarama.TopicResource, topic,
		map[string]sarama.IncrementalAlterConfigsEntry{name: entry}, false))
}

func (s saramaAdministration) offset(topic string, timestamp int64) int64 {
	found, err := s.client.GetOffset(topic, 0, timestamp)
	check(err)
	return found
}

func (s saramaAdministration) commit(group, topic string, offset int64, metadata string) {
	manager, err := sarama.NewOffsetManagerFromClient(group, s.client)
	check(err)
	partition, err := manager.ManagePartition(topic, 0)
	check(err)
	partition.MarkOffset(offset, metadata)
	manager.Commit()
	check(partition.Close())
	check(manager.Close())
}

func (s saramaAdministration) committed(group, topic string, partition int) (int64, string) {
	answer, err := s.ListConsumerGroupOffsets(group, map[string][]int32{topic: {int32(partition)}})
	check(err)
	block := answer.GetBlock(topic, int32(partition))
	return block.Offset, block.Metadata
}

func (s saramaAdministration) groups() map[string]string {
	found, err := s.ListConsumerGroups()
	check(err)
	return found
}

func (s saramaAdministration) groupState(group string) string {
	found, err := s.DescribeConsumerGroups([]string{group})
	check(err)
	return found[0].State
}

func (s saramaAdministration) deleteGroup(group string) int {
	return saramaCode(s.DeleteConsumerGroup(group))
}

func (s saramaAdministration) deleteRecords(topic string, before int64) bool {
	check(s.DeleteRecords(topic, map[int32]int64{0: before}))
	return true
}

func (s saramaAdministration) deleteTopic(topic string) int { return saramaCode(s.DeleteTopic(topic)) }
