// The administration that clients/go/admin.go does, with kafkajs.
'use strict'

const fs = require('node:fs')
const { ConfigResourceTypes } = require('kafkajs')

const FIRST_TIMESTAMP = 1_700_000_000_000
const DYNAMIC_TOPIC_CONFIG = 1

async function codeOf(action) {
  try {
    await action()
    return 0
  } catch (error) {
    // Of an error for several topics or groups, the first one's.
    const inner = error.errors?.[0] ?? error.groups?.[0]?.error ?? error
    if (!(inner.code > 0)) throw error
    return inner.code
  }
}

async function until(look, what) {
  for (const deadline = Date.now() + 20_000; !(await look()); ) {
    if (Date.now() > deadline) throw new Error(`not within 20 s: ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}

async function administer(kafka, produce, file, topic, group) {
  const admin = kafka.admin()
  await admin.connect()
  const partitions = async () =>
    (await admin.fetchTopicMetadata({ topics: [topic] })).topics[0].partitions
      .map((one) => one.partitionId)
      .sort()
  const config = async (name) => {
    const resource = { type: ConfigResourceTypes.TOPIC, name: topic, configNames: [name] }
    const answer = await admin.describeConfigs({ includeSynonyms: true, resources: [resource] })
    const [entry] = answer.resources[0].configEntries
    return [entry.configValue, entry.configSource === DYNAMIC_TOPIC_CONFIG]
  }
  const byTime = async (timestamp) => {
    const found = await admin.fetchTopicOffsetsByTimestamp(topic, timestamp)
    return Number(found.find((one) => one.partition === 0).offset)
  }
  const ends = async () => (await admin.fetchTopicOffsets(topic)).find((one) => one.partition === 0)
  const committed = async (partition) => {
    const [found] = await admin.fetchOffsets({ groupId: group, topics: [topic] })
    const one = found.partitions.find((each) => each.partition === partition)
    return one === undefined ? [-1, ''] : [Number(one.offset), one.metadata ?? '']
  }
  const listed = async () => (await admin.listGroups()).groups.find((one) => one.groupId === group)
  const state = async () => (await admin.describeGroups([group])).groups[0].state

  const saw = {}
  const wanted = {
    topic,
    numPartitions: 3,
    replicationFactor: 1,
    configEntries: [{ name: 'max.message.bytes', value: '2000000' }],
  }
  saw.created = (await admin.createTopics({ topics: [wanted] })) ? 0 : 36
  // It answers false, not with an error, when the topic is there.
  saw['created again'] = (await admin.createTopics({ topics: [wanted] })) ? 0 : 36
  await admin.createPartitions({ topicPartitions: [{ topic, count: 4 }] })
  await until(async () => (await partitions()).length === 4, 'the fourth partition')
  saw.partitions = await partitions()

  saw['max.message.bytes'] = await config('max.message.bytes')
  saw['compression.type'] = await config('compression.type')
  const change = { name: 'max.message.bytes', value: '2500000' }
  await admin.alterConfigs({
    validateOnly: false,
    resources: [{ type: ConfigResourceTypes.TOPIC, name: topic, configEntries: [change] }],
  })
  await until(async () => (await config('max.message.bytes'))[0] === '2500000', 'the config')
  saw.altered = await config('max.message.bytes')

  const records = []
  for (let number = 0; number < 8; number += 1) {
    records.push({ timestamp: String(FIRST_TIMESTAMP + number * 1000), key: null, value: 'v', headers: {} })
  }
  await produce(kafka, topic, 'none', records)
  saw.earliest = Number((await ends()).low)
  saw.latest = Number((await ends()).high)
  saw['by time'] = await byTime(FIRST_TIMESTAMP + 3500)
  saw['at the time'] = await byTime(FIRST_TIMESTAMP + 3000)
  saw['after the end'] = await byTime(FIRST_TIMESTAMP + 7001)

  await admin.setOffsets({ groupId: group, topic, partitions: [{ partition: 0, offset: '5' }] })
  saw.committed = await committed(0)
  saw['not committed'] = await committed(1)
  saw.listed = (await listed()) !== undefined
  saw['type of the group'] = (await listed()).protocolType
  saw.state = await state()

  await admin.deleteTopicRecords({ topic, partitions: [{ partition: 0, offset: '3' }] })
  saw['earliest after delete'] = Number((await ends()).low)
  saw['deleted group'] = await codeOf(() => admin.deleteGroups([group]))
  saw['deleted again'] = await codeOf(() => admin.deleteGroups([group]))
  saw['listed after delete'] = (await listed()) !== undefined
  saw['state after delete'] = await state()
  saw['deleted topic'] = await codeOf(() => admin.deleteTopics({ topics: [topic] }))
  await until(async () => !(await admin.listTopics()).includes(topic), "the topic's end")
  await admin.disconnect()
  fs.writeFileSync(file, JSON.stringify(saw))
}

module.exports = { administer }
