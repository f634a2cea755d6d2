package main

import (
	"context"
	"errors"
	"os"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/oauth"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"
)

var franzCodecs = map[string]kgo.CompressionCodec{
	"none":   kgo.NoCompression(),
	"gzip":   kgo.GzipCompression(),
	"snappy": kgo.SnappyCompression(),
	"lz4":    kgo.Lz4Compression(),
	"zstd":   kgo.ZstdCompression(),
}

var franzBalancers = map[string]kgo.GroupBalancer{
	"range":              kgo.RangeBalancer(),
	"roundrobin":         kgo.RoundRobinBalancer(),
	"sticky":             kgo.StickyBalancer(),
	"cooperative-sticky": kgo.CooperativeStickyBalancer(),
}

// franzClient logs in with a delegation token if the environment has one ("id secret").
func franzClient(bootstrap string, options ...kgo.Opt) *kgo.Client {
	if id, secret, found := strings.Cut(os.Getenv("FASTLOG_TEST_TOKEN"), " "); found {
		auth := scram.Auth{User: id, Pass: secret, IsToken: true}
		options = append(options, kgo.SASL(auth.AsSha256Mechanism()))
	}
	options = append(options, kgo.SeedBrokers(bootstrap))
	secure := readSecurity()
	if config := secure.tls(); config != nil {
		options = append(options, kgo.DialTLSConfig(config))
	}
	if secure.Mechanism != "" {
		options = append(options, kgo.SASL(franzMechanism(secure)))
	}
	client, err := kgo.NewClient(options...)
	check(err)
	return client
}

func franzMechanism(secure security) sasl.Mechanism {
	switch secure.Mechanism {
	case "PLAIN":
		return plain.Auth{User: secure.User, Pass: secure.Password}.AsMechanism()
	case "SCRAM-SHA-256":
		return scram.Auth{User: secure.User, Pass: secure.Password}.AsSha256Mechanism()
	case "SCRAM-SHA-512":
		return scram.Auth{User: secure.User, Pass: secure.Password}.AsSha512Mechanism()
	case "OAUTHBEARER":
		return oauth.Auth{Token: secure.Token}.AsMechanism()
	}
	fail("no mechanism %s", secure.Mechanism)
	return nil
}

// franzProduce is idempotent, as the library is by default.
func franzProduce(bootstrap, topic, codec string, records []record) {
	client := franzClient(bootstrap, kgo.ProducerBatchCompression(franzCodecs[codec]),
		kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerBatchMaxBytes(1_048_588),
		kgo.AllowAutoTopicCreation())
	defer client.Close()
	var sent []*kgo.Record
	for _, item := range records {
		one := &kgo.Record{Topic: topic, Key: item.key, Value: item.value, Timestamp: time.UnixMilli(item.timestamp)}
		for _, part := range item.headers {
			one.Headers = append(one.Headers, kgo.RecordHeader{Key: part.name, Value: part.value})
		}
		sent = append(sent, one)
	}
	check(client.ProduceSync(context.Background(), sent...).FirstErr())
}

func franzConsume(bootstrap, topic string, count int) []record {
	client := franzClient(bootstrap, kgo.ConsumePartitions(
		map[string]map[int32]kgo.Offset{topic: {0: kgo.NewOffset().At(0)}}))
	defer client.Close()
	var found []record
	for len(found) < count {
		fetches := client.PollFetches(context.Background())
		check(fetches.Err())
		fetches.EachRecord(func(one *kgo.Record) {
			item := record{timestamp: one.Timestamp.UnixMilli(), key: one.Key, value: one.Value}
			for _, part := range one.Headers {
				item.headers = append(item.headers, header{part.Key, part.Value})
			}
			found = append(found, item)
		})
	}
	return found
}

// franzMember with the balancer "uniform" is a member of the consumer protocol (KIP-848).
func franzMember(
	ctx context.Context, bootstrap, topic, group, balancer string, handle func(int, int64, []byte),
) {
	options := []kgo.Opt{kgo.Balancers(franzBalancers[balancer])}
	if balancer == "uniform" {
		options = []kgo.Opt{kgo.Balancers(kgo.StickyBalancer()), kgo.ServerSideBalancer()}
	}
	client := franzClient(bootstrap, append(options, kgo.ConsumerGroup(group), kgo.ConsumeTopics(topic),
		kgo.HeartbeatInterval(200*time.Millisecond), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.DisableAutoCommit(), kgo.BlockRebalanceOnPoll(), kgo.FetchMaxWait(200*time.Millisecond))...)
	// Leaves the group; AllowRebalance lets it, whatever the loop was doing.
	defer client.CloseAllowingRebalance()
	for {
		fetches := client.PollFetches(ctx)
		if ctx.Err() != nil {
			return
		}
		check(fetches.Err())
		fetches.EachRecord(func(one *kgo.Record) { handle(int(one.Partition), one.Offset, one.Value) })
		check(client.CommitUncommittedOffsets(context.Background()))
		client.AllowRebalance()
	}
}

type franz struct{ client *kadm.Client }

func franzAdmin(bootstrap string) administration {
	return franz{kadm.NewClient(franzClient(bootstrap, kgo.MetadataMinAge(50*time.Millisecond)))}
}

func franzCode(err error) int {
	var answered *kerr.Error
	if err != nil && !errors.As(err, &answered) {
		check(err)
	}
	if answered == nil {
		return 0
	}
	return int(answered.Code)
}

func (f franz) createTopic(topic string, partitions int, configs map[string]string) int {
	given := map[string]*string{}
	for name, value := range configs {
		given[name] = kadm.StringPtr(value)
	}
	_, err := f.client.CreateTopic(context.Background(), int32(partitions), 1, given, topic)
	return franzCode(err)
}

func (f franz) addPartitions(topic string, total int) {
	answers, err := f.client.UpdatePartitions(context.Background(), total, topic)
	check(err)
	check(answers.Error())
}

func (f franz) partitions(topic string) []int {
	topics, err := f.client.ListTopics(context.Background(), topic)
	check(err)
	var found []int
	for _, one := range topics[topic].Partitions.Numbers() {
		found = append(found, int(one))
	}
	return found
}

func (f franz) config(topic, name string) (string, bool) {
	answers, err := f.client.DescribeTopicConfigs(context.Background(), topic)
	check(err)
	for _, one := range answers[0].Configs {
		if one.Key == name {
			return one.MaybeValue(), one.Source == kmsg.ConfigSourceDynamicTopicConfig
		}
	}
	fail("no config %s", name)
	return "", false
}

func (f franz) alterConfig(topic, name, value string) {
	change := kadm.AlterConfig{Op: kadm.SetConfig, Name: name, Value: &value}
	answers, err := f.client.AlterTopicConfigs(context.Background(), []kadm.AlterConfig{change}, topic)
	check(err)
	check(answers[0].Err)
}

func (f franz) offset(topic string, timestamp int64) int64 {
	ask := func(ctx context.Context, topics ...string) (kadm.ListedOffsets, error) {
		return f.client.ListOffsetsAfterMilli(ctx, timestamp, topics...)
	}
	switch timestamp {
	case earliest:
		ask = f.client.ListStartOffsets
	case latest:
		ask = f.client.ListEndOffsets
	}
	answers, err := ask(context.Background(), topic)
	check(err)
	check(answers.Error())
	return answers[topic][0].Offset
}

func (f franz) commit(group, topic string, offset int64, metadata string) {
	offsets := kadm.Offsets{}
	offsets.Add(kadm.Offset{Topic: topic, At: offset, LeaderEpoch: -1, Metadata: metadata})
	check(f.client.CommitAllOffsets(context.Background(), group, offsets))
}

func (f franz) committed(group, topic string, partition int) (int64, string) {
	answers, err := f.client.FetchOffsetsForTopics(context.Background(), group, topic)
	check(err)
	check(answers.Error())
	found, _ := answers.Lookup(topic, int32(partition))
	return found.At, found.Metadata
}

func (f franz) groups() map[string]string {
	answers, err := f.client.ListGroups(context.Background())
	check(err)
	found := map[string]string{}
	for name, group := range answers {
		found[name] = group.ProtocolType
	}
	return found
}

func (f franz) groupState(group string) string {
	answers, err := f.client.DescribeGroups(context.Background(), group)
	check(err)
	return answers[group].State
}

func (f franz) deleteGroup(group string) int {
	_, err := f.client.DeleteGroup(context.Background(), group)
	return franzCode(err)
}

func (f franz) deleteRecords(topic string, before int64) bool {
	offsets := kadm.Offsets{}
	offsets.Add(kadm.Offset{Topic: topic, At: before})
	answers, err := f.client.DeleteRecords(context.Background(), offsets)
	check(err)
	check(answers.Error())
	return true
}

func (f franz) deleteTopic(topic string) int {
	_, err := f.client.DeleteTopic(context.Background(), topic)
	return franzCode(err)
}
