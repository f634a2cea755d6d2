// Files in the format of tests/harness/dataset.py; null is not the same as empty.
'use strict'

const fs = require('node:fs')

function readRecords(file) {
  const data = fs.readFileSync(file)
  let at = 0
  const length = () => {
    at += 4
    return data.readInt32BE(at - 4)
  }
  const bytes = () => {
    const size = length()
    if (size < 0) return null
    at += size
    return data.subarray(at - size, at)
  }
  const found = []
  while (at < data.length) {
    const timestamp = data.readBigInt64BE(at)
    at += 8
    const record = { timestamp: String(timestamp), key: bytes(), value: bytes(), headers: {} }
    for (let left = length(); left > 0; left -= 1) record.headers[bytes().toString()] = bytes()
    found.push(record)
  }
  return found
}

function writeRecords(file, records) {
  const parts = []
  const length = (number) => {
    const part = Buffer.alloc(4)
    part.writeInt32BE(number)
    parts.push(part)
  }
  const bytes = (data) => {
    length(data === null ? -1 : data.length)
    if (data !== null) parts.push(data)
  }
  for (const record of records) {
    const stamp = Buffer.alloc(8)
    stamp.writeBigInt64BE(BigInt(record.timestamp))
    parts.push(stamp)
    bytes(record.key)
    bytes(record.value)
    const headers = Object.entries(record.headers)
    length(headers.length)
    for (const [name, value] of headers) {
      bytes(Buffer.from(name))
      bytes(value)
    }
  }
  fs.writeFileSync(file, Buffer.concat(parts))
}

module.exports = { readRecords, writeRecords }
