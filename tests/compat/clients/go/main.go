// One program for the Kafka libraries of Go: what each does is in a file of its name.
//
//	clients LIBRARY produce|consume FILE BOOTSTRAP TOPIC CODEC COUNT
//	clients LIBRARY member FILE BOOTSTRAP TOPIC GROUP BALANCER
//	clients LIBRARY admin FILE BOOTSTRAP TOPIC GROUP
//
// The files of produce and consume have the format of tests/harness/dataset.py. A member appends a line
// "partition offset value" per record, commits, and leaves its group when its standard input ends. What the
// administration saw is written as JSON.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strconv"
)

// library is what one Kafka library does; every function ends the process when something fails.
type library struct {
	// produce sends to partition 0, in order.
	produce func(bootstrap, topic, codec string, records []record)
	// consume reads so many records of partition 0 from its beginning.
	consume func(bootstrap, topic string, count int) []record
	// member consumes in a group until the context ends; handle is called before the commit of a record.
	member func(ctx context.Context, bootstrap, topic, group, balancer string, handle func(int, int64, []byte))
	// admin returns the administration of this library.
	admin func(bootstrap string) administration
}

var libraries = map[string]library{
	"franz-go": {franzProduce, franzConsume, franzMember, franzAdmin},
	"sarama":   {saramaProduce, saramaConsume, saramaMember, saramaAdmin},
	"kafka-go": {segmentioProduce, segmentioConsume, segmentioMember, segmentioAdmin},
}

func main() {
	arguments := os.Args[1:]
	if len(arguments) < 6 {
		fail("too few arguments: %q", arguments)
	}
	used, known := libraries[arguments[0]]
	if !known {
		fail("no library %q", arguments[0])
	}
	file, bootstrap, topic := arguments[2], arguments[3], arguments[4]
	switch arguments[1] {
	case "produce":
		used.produce(bootstrap, topic, arguments[5], readRecords(file))
	case "consume":
		count, err := strconv.Atoi(arguments[6])
		check(err)
		writeRecords(file, used.consume(bootstrap, topic, count))
	case "member":
		member(used, file, bootstrap, topic, arguments[5], arguments[6])
	case "admin":
		administer(used, file, bootstrap, topic, arguments[5])
	default:
		fail("no action %q", arguments[1])
	}
}

func member(used library, file, bootstrap, topic, group, balancer string) {
	out, err := os.OpenFile(file, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	check(err)
	ctx, stop := context.WithCancel(context.Background())
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		stop()
	}()
	used.member(ctx, bootstrap, topic, group, balancer, func(partition int, offset int64, value []byte) {
		_, err := fmt.Fprintf(out, "%d %d %s\n", partition, offset, value)
		check(err)
	})
	check(out.Close())
}

func check(err error) {
	if err != nil {
		// A panic tells where.
		panic(err)
	}
}

func fail(format string, values ...any) {
	check(fmt.Errorf(format, values...))
}
