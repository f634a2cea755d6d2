// kafkajs, with the command line of clients/go/main.go.
'use strict'

const fs = require('node:fs')
const { Kafka, logLevel } = require('kafkajs')
const { administer } = require('./admin')
const { install, TYPES } = require('./codecs')
const { readRecords, writeRecords } = require('./records')
const { security } = require('./security')

// It does not split batches by size; the broker's limit is 1 MiB.
const BATCH_BYTES = 500_000

function* batches(records) {
  let batch = []
  let bytes = 0
  for (const record of records) {
    batch.push({ ...record, partition: 0 })
    bytes += (record.value?.length ?? 0) + 100
    if (bytes > BATCH_BYTES) {
      yield batch
      batch = []
      bytes = 0
    }
  }
  if (batch.length > 0) yield batch
}

async function produce(kafka, topic, codec, records) {
  const producer = kafka.producer({ idempotent: true, maxInFlightRequests: 1, allowAutoTopicCreation: true })
  await producer.connect()
  for (const messages of batches(records)) {
    await producer.send({ topic, messages, acks: -1, compression: TYPES[codec] })
  }
  await producer.disconnect()
}

async function consume(kafka, file, topic, count) {
  const consumer = kafka.consumer({ groupId: `${topic}-reader-${process.pid}`, maxWaitTimeInMs: 200 })
  await consumer.connect()
  await consumer.subscribe({ topics: [topic], fromBeginning: true })
  const found = []
  await new Promise((resolve, reject) => {
    consumer.on(consumer.events.CRASH, (event) => reject(event.payload.error))
    consumer.run({
      autoCommit: false,
      eachMessage: async ({ message }) => {
        found.push(message)
        if (found.length === count) resolve()
      },
    })
  })
  await consumer.disconnect()
  writeRecords(file, found)
}

async function member(kafka, file, topic, groupId) {
  const out = fs.openSync(file, 'a')
  const consumer = kafka.consumer({ groupId, heartbeatInterval: 200, maxWaitTimeInMs: 200 })
  await consumer.connect()
  await consumer.subscribe({ topics: [topic], fromBeginning: true })
  const crashed = new Promise((_, reject) => {
    consumer.on(consumer.events.CRASH, (event) => reject(event.payload.error))
  })
  await consumer.run({
    autoCommit: false,
    eachMessage: async ({ partition, message }) => {
      fs.writeSync(out, `${partition} ${message.offset} ${message.value}\n`)
      const offset = String(BigInt(message.offset) + 1n)
      await consumer.commitOffsets([{ topic, partition, offset }])
    },
  })
  const closed = new Promise((resolve) => process.stdin.on('end', resolve).resume())
  await Promise.race([closed, crashed])
  await consumer.disconnect()
}

async function main([action, file, bootstrap, topic, ...rest]) {
  const kafka = new Kafka({ clientId: 'tests', brokers: [bootstrap], logLevel: logLevel.WARN, ...security() })
  await install()
  if (action === 'produce') return produce(kafka, topic, rest[0], readRecords(file))
  if (action === 'consume') return consume(kafka, file, topic, Number(rest[1]))
  if (action === 'member') return member(kafka, file, topic, rest[0])
  if (action === 'admin') return administer(kafka, produce, file, topic, rest[0])
  throw new Error(`no action ${action}`)
}

main(process.argv.slice(2)).then(
  () => process.exit(0),
  (error) => {
    console.error(error)
    process.exit(1)
  },
)
