// kafkajs brings gzip; it documents how to plug in the others, here with packages that need no compiler.
'use strict'

const { CompressionCodecs, CompressionTypes } = require('kafkajs')
const SnappyCodec = require('kafkajs-snappy')
const lz4 = require('lz4js')
const xxh = require('lz4js/xxh32')
const zstd = require('@bokuweb/zstd-wasm')

// lz4js calls the blocks of its frames linked, which they are not. Java clients read no linked blocks, so that
// Kafka refuses them.
function independent(frame) {
  frame[4] |= 0x20
  frame[6] = (xxh.hash(0, frame, 4, 2) >> 8) & 0xff
  return frame
}

async function install() {
  await zstd.init()
  CompressionCodecs[CompressionTypes.Snappy] = SnappyCodec
  CompressionCodecs[CompressionTypes.LZ4] = () => ({
    compress: async (encoder) => Buffer.from(independent(lz4.compress(encoder.buffer))),
    decompress: async (data) => Buffer.from(lz4.decompress(data)),
  })
  CompressionCodecs[CompressionTypes.ZSTD] = () => ({
    compress: async (encoder) => Buffer.from(zstd.compress(encoder.buffer)),
    decompress: async (data) => Buffer.from(zstd.decompress(data)),
  })
}

const TYPES = {
  none: CompressionTypes.None,
  gzip: CompressionTypes.GZIP,
  snappy: CompressionTypes.Snappy,
  lz4: CompressionTypes.LZ4,
  zstd: CompressionTypes.ZSTD,
}

module.exports = { install, TYPES }
