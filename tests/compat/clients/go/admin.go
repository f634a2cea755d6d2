package main

import (
	"encoding/json"
	"fmt"
	"os"
	"time"
)

const (
	firstTimestamp = 1_700_000_000_000
	latest         = -1
	earliest       = -2
)

// administration is what every library can ask of a cluster. Errors that Kafka answers are codes, 0 is none.
type administration interface {
	createTopic(topic string, partitions int, configs map[string]string) int
	addPartitions(topic string, total int)
	// partitions are those of a topic; none for a topic that is not there.
	partitions(topic string) []int
	// config tells a topic's setting, and whether it was set on the topic.
	config(topic, name string) (value string, own bool)
	alterConfig(topic, name, value string)
	// offset of a timestamp in partition 0, of `earliest` or of `latest`.
	offset(topic string, timestamp int64) int64
	commit(group, topic string, offset int64, metadata string)
	// committed tells offset and metadata of a partition; -1 when there is none.
	committed(group, topic string, partition int) (offset int64, metadata string)
	// groups tells the protocol type of each group.
	groups() map[string]string
	groupState(group string) string
	deleteGroup(group string) int
	// deleteRecords of partition 0 before an offset; false when the library cannot.
	deleteRecords(topic string, before int64) bool
	deleteTopic(topic string) int
}

// administer does a fixed row of things and writes what it saw.
func administer(used library, file, bootstrap, topic, group string) {
	admin := used.admin(bootstrap)
	saw := map[string]any{}
	configs := map[string]string{"max.message.bytes": "2000000"}
	saw["created"] = admin.createTopic(topic, 3, configs)
	await(func() bool { return len(admin.partitions(topic)) == 3 }, "the topic")
	saw["created again"] = admin.createTopic(topic, 3, configs)
	admin.addPartitions(topic, 4)
	await(func() bool { return len(admin.partitions(topic)) == 4 }, "the fourth partition")
	saw["partitions"] = admin.partitions(topic)

	value, own := admin.config(topic, "max.message.bytes")
	saw["max.message.bytes"] = []any{value, own}
	value, own = admin.config(topic, "compression.type")
	saw["compression.type"] = []any{value, own}
	admin.alterConfig(topic, "max.message.bytes", "2500000")
	await(func() bool { value, own = admin.config(topic, "max.message.bytes"); return value == "2500000" }, "the config")
	saw["altered"] = []any{value, own}

	var records []record
	for number := range 8 {
		records = append(records, record{timestamp: firstTimestamp + int64(number)*1000, value: []byte("v")})
	}
	used.produce(bootstrap, topic, "none", records)
	saw["earliest"], saw["latest"] = admin.offset(topic, earliest), admin.offset(topic, latest)
	saw["by time"] = admin.offset(topic, firstTimestamp+3500)
	saw["at the time"] = admin.offset(topic, firstTimestamp+3000)
	saw["after the end"] = admin.offset(topic, firstTimestamp+7001)

	admin.commit(group, topic, 5, "a note")
	offset, metadata := admin.committed(group, topic, 0)
	saw["committed"] = []any{offset, metadata}
	offset, metadata = admin.committed(group, topic, 1)
	saw["not committed"] = []any{offset, metadata}
	saw["type of the group"], saw["listed"] = admin.groups()[group], contains(admin.groups(), group)
	saw["state"] = admin.groupState(group)

	if admin.deleteRecords(topic, 3) {
		saw["earliest after delete"] = admin.offset(topic, earliest)
	}
	saw["deleted group"] = admin.deleteGroup(group)
	saw["deleted again"] = admin.deleteGroup(group)
	saw["listed after delete"] = contains(admin.groups(), group)
	saw["state after delete"] = admin.groupState(group)
	saw["deleted topic"] = admin.deleteTopic(topic)
	await(func() bool { return len(admin.partitions(topic)) == 0 }, "the topic's end")

	text, err := json.Marshal(saw)
	check(err)
	check(os.WriteFile(file, text, 0o600))
}

// await asks until it is so; a cluster's metadata follow a change in their own time.
func await(look func() bool, what string) {
	for deadline := time.Now().Add(20 * time.Second); !look(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			check(fmt.Errorf("not within 20 s: %s", what))
		}
	}
}

func contains(groups map[string]string, group string) bool {
	_, found := groups[group]
	return found
}
