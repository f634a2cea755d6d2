package main

import (
	"context"
	"errors"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/sasl"
	"github.com/segmentio/kafka-go/sasl/plain"
	"github.com/segmentio/kafka-go/sasl/scram"
)

var segmentioCodecs = map[string]kafka.Compression{
	"none":   0,
	"gzip":   kafka.Gzip,
	"snappy": kafka.Snappy,
	"lz4":    kafka.Lz4,
	"zstd":   kafka.Zstd,
}

var segmentioBalancers = map[string]kafka.GroupBalancer{
	"range":      kafka.RangeGroupBalancer{},
	"roundrobin": kafka.RoundRobinGroupBalancer{},
}

// segmentioMechanism is nil on listeners without SASL.
func segmentioMechanism(secure security) sasl.Mechanism {
	switch secure.Mechanism {
	case "":
		return nil
	case "PLAIN":
		return plain.Mechanism{Username: secure.User, Password: secure.Password}
	case "SCRAM-SHA-256", "SCRAM-SHA-512":
		hash := scram.SHA256
		if secure.Mechanism == "SCRAM-SHA-512" {
			hash = scram.SHA512
		}
		found, err := scram.Mechanism(hash, secure.User, secure.Password)
		check(err)
		return found
	}
	fail("no mechanism %s", secure.Mechanism)
	return nil
}

func segmentioDialer() *kafka.Dialer {
	secure := readSecurity()
	return &kafka.Dialer{
		Timeout: 10 * time.Second, DualStack: true, TLS: secure.tls(), SASLMechanism: segmentioMechanism(secure)}
}

func segmentioTransport() *kafka.Transport {
	secure := readSecurity()
	return &kafka.Transport{TLS: secure.tls(), SASL: segmentioMechanism(secure)}
}

func segmentioProduce(bootstrap, topic, codec string, records []record) {
	writer := &kafka.Writer{
		Addr:                   kafka.TCP(bootstrap),
		Topic:                  topic,
		Balancer:               kafka.BalancerFunc(func(kafka.Message, ...int) int { return 0 }),
		Compression:            segmentioCodecs[codec],
		RequiredAcks:           kafka.RequireAll,
		BatchTimeout:           5 * time.Millisecond,
		AllowAutoTopicCreation: true,
		Transport:              segmentioTransport(),
	}
	var sent []kafka.Message
	for _, item := range records {
		one := kafka.Message{Key: item.key, Value: item.value, Time: time.UnixMilli(item.timestamp)}
		for _, part := range item.headers {
			one.Headers = append(one.Headers, kafka.Header{Key: part.name, Value: part.value})
		}
		sent = append(sent, one)
	}
	check(writer.WriteMessages(context.Background(), sent...))
	check(writer.Close())
}

func segmentioConsume(bootstrap, topic string, count int) []record {
	reader := kafka.NewReader(kafka.ReaderConfig{
		Brokers: []string{bootstrap}, Dialer: segmentioDialer(), Topic: topic, MaxWait: 200 * time.Millisecond})
	var found []record
	for len(found) < count {
		one, err := reader.ReadMessage(context.Background())
		check(err)
		item := record{timestamp: one.Time.UnixMilli(), key: one.Key, value: one.Value}
		for _, part := range one.Headers {
			item.headers = append(item.headers, header{part.Key, part.Value})
		}
		found = append(found, item)
	}
	check(reader.Close())
	return found
}

func segmentioMember(
	ctx context.Context, bootstrap, topic, group, balancer string, handle func(int, int64, []byte),
) {
	reader := kafka.NewReader(kafka.ReaderConfig{
		Brokers: []string{bootstrap}, Dialer: segmentioDialer(), Topic: topic, GroupID: group,
		MaxWait:        200 * time.Millisecond,
		GroupBalancers: []kafka.GroupBalancer{segmentioBalancers[balancer]}, StartOffset: kafka.FirstOffset,
		HeartbeatInterval: 200 * time.Millisecond})
	for {
		one, err := reader.FetchMessage(ctx)
		if ctx.Err() != nil {
			break
		}
		check(err)
		handle(one.Partition, one.Offset, one.Value)
		check(reader.CommitMessages(context.Background(), one))
	}
	check(reader.Close())
}

type segmentio struct{ client *kafka.Client }

func segmentioAdmin(bootstrap string) administration {
	// The library answers Metadata from what it asked for at most so long ago.
	transport := segmentioTransport()
	transport.MetadataTTL = 50 * time.Millisecond
	return segmentio{&kafka.Client{Addr: kafka.TCP(bootstrap), Timeout: 20 * time.Second, Transport: transport}}
}

func segmentioCode(err error) int {
	var answered kafka.Error
	if err != nil && !errors.As(err, &answered) {
		check(err)
	}
	return int(answered)
}

func (s segmentio) createTopic(topic string, partitions int, configs map[string]string) int {
	config := kafka.TopicConfig{Topic: topic, NumPartitions: partitions, ReplicationFactor: 1}
	for name, value := range configs {
		config.ConfigEntries = append(config.ConfigEntries, kafka.ConfigEntry{ConfigName: name, ConfigValue: value})
	}
	answer, err := s.client.CreateTopics(context.Background(),
		&kafka.CreateTopicsRequest{Topics: []kafka.TopicConfig{config}})
	check(err)
	return segmentioCode(answer.Errors[topic])
}

func (s segmentio) addPartitions(topic string, total int) {
	answer, err := s.client.CreatePartitions(context.Background(), &kafka.CreatePartitionsRequest{
		Topics: []kafka.TopicPartitionsConfig{{Name: topic, Count: int32(total)}}})
	check(err)
	check(answer.Errors[topic])
}

func (s segmentio) partitions(topic string) []int {
	answer, err := s.client.Metadata(context.Background(), &kafka.MetadataRequest{Topics: []string{topic}})
	check(err)
	found := make([]int, len(answer.Topics[0].Partitions))
	for index := range found {
		found[index] = index
	}
	return found
}

func (s segmentio) config(topic, name string) (string, bool) {
	answer, err := s.client.DescribeConfigs(context.Background(), &kafka.DescribeConfigsRequest{
		Resources: []kafka.DescribeConfigRequestResource{
			{ResourceType: kafka.ResourceTypeTopic, ResourceName: topic, ConfigNames: []string{name}}}})
	check(err)
	check(answer.Resources[0].Error)
	entry := answer.Resources[0].ConfigEntries[0]
	const dynamicTopicConfig = 1
	return entry.ConfigValue, entry.ConfigSource == dynamicTopicConfig
}

func (s segmentio) alterConfig(topic, name, value string) {
	answer, err := s.client.IncrementalAlterConfigs(context.Background(), &kafka.IncrementalAlterConfigsRequest{
		Resources: []kafka.IncrementalAlterConfigsRequestResource{{
			ResourceType: kafka.ResourceTypeTopic, ResourceName: topic,
			Configs: []kafka.IncrementalAlterConfigsRequestConfig{
				{Name: name, Value: value, ConfigOperation: kafka.ConfigOperationSet}}}}})
	check(err)
	check(answer.Resources[0].Error)
}

func (s segmentio) offset(topic string, timestamp int64) int64 {
	answer, err := s.client.ListOffsets(context.Background(), &kafka.ListOffsetsRequest{
		Topics: map[string][]kafka.OffsetRequest{topic: {{Partition: 0, Timestamp: timestamp}}}})
	check(err)
	found := answer.Topics[topic][0]
	check(found.Error)
	switch timestamp {
	case earliest:
		return found.FirstOffset
	case latest:
		return found.LastOffset
	}
	for offset := range found.Offsets {
		return offset
	}
	return -1
}

func (s segmentio) commit(group, topic string, offset int64, metadata string) {
	answer, err := s.client.OffsetCommit(context.Background(), &kafka.OffsetCommitRequest{
		GroupID: group, GenerationID: -1,
		Topics: map[string][]kafka.OffsetCommit{topic: {{Offset: offset, Metadata: metadata}}}})
	check(err)
	check(answer.Topics[topic][0].Error)
}

func (s segmentio) committed(group, topic string, partition int) (int64, string) {
	answer, err := s.client.OffsetFetch(context.Background(), &kafka.OffsetFetchRequest{
		GroupID: group, Topics: map[string][]int{topic: {partition}}})
	check(err)
	check(answer.Error)
	found := answer.Topics[topic][0]
	check(found.Error)
	return found.CommittedOffset, found.Metadata
}

func (s segmentio) groups() map[string]string {
	answer, err := s.client.ListGroups(context.Background(), &kafka.ListGroupsRequest{})
	check(err)
	check(answer.Error)
	found := map[string]string{}
	for _, group := range answer.Groups {
		found[group.GroupID] = group.ProtocolType
	}
	return found
}

func (s segmentio) groupState(group string) string {
	answer, err := s.client.DescribeGroups(context.Background(), &kafka.DescribeGroupsRequest{GroupIDs: []string{group}})
	check(err)
	return answer.Groups[0].GroupState
}

func (s segmentio) deleteGroup(group string) int {
	answer, err := s.client.DeleteGroups(context.Background(), &kafka.DeleteGroupsRequest{GroupIDs: []string{group}})
	check(err)
	return segmentioCode(answer.Errors[group])
}

// deleteRecords: the library has no such request.
func (segmentio) deleteRecords(string, int64) bool { return false }

func (s segmentio) deleteTopic(topic string) int {
	answer, err := s.client.DeleteTopics(context.Background(), &kafka.DeleteTopicsRequest{Topics: []string{topic}})
	check(err)
	return segmentioCode(answer.Errors[topic])
}
