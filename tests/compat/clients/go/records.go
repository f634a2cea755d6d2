package main

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"io"
	"os"
)

// header is one header of a record; a nil value is null.
type header struct {
	name  string
	value []byte
}

// record is one record; nil is null, and not the same as empty.
type record struct {
	timestamp int64
	key       []byte
	value     []byte
	headers   []header
}

// readRecords reads a file in the format of tests/harness/dataset.py.
func readRecords(file string) []record {
	data, err := os.ReadFile(file)
	check(err)
	source := bytes.NewReader(data)
	var found []record
	for source.Len() > 0 {
		var item record
		check(binary.Read(source, binary.BigEndian, &item.timestamp))
		item.key, item.value = readBytes(source), readBytes(source)
		for left := readLength(source); left > 0; left-- {
			item.headers = append(item.headers, header{string(readBytes(source)), readBytes(source)})
		}
		found = append(found, item)
	}
	return found
}

// writeRecords writes such a file.
func writeRecords(file string, items []record) {
	target, err := os.Create(file)
	check(err)
	out := bufio.NewWriter(target)
	for _, item := range items {
		check(binary.Write(out, binary.BigEndian, item.timestamp))
		writeBytes(out, item.key)
		writeBytes(out, item.value)
		check(binary.Write(out, binary.BigEndian, int32(len(item.headers))))
		for _, one := range item.headers {
			writeBytes(out, []byte(one.name))
			writeBytes(out, one.value)
		}
	}
	check(out.Flush())
	check(target.Close())
}

func readLength(source io.Reader) int32 {
	var length int32
	check(binary.Read(source, binary.BigEndian, &length))
	return length
}

func readBytes(source io.Reader) []byte {
	length := readLength(source)
	if length < 0 {
		return nil
	}
	data := make([]byte, length)
	_, err := io.ReadFull(source, data)
	check(err)
	return data
}

func writeBytes(out io.Writer, data []byte) {
	if data == nil {
		check(binary.Write(out, binary.BigEndian, int32(-1)))
		return
	}
	check(binary.Write(out, binary.BigEndian, int32(len(data))))
	_, err := out.Write(data)
	check(err)
}
