// An npm Hypercore that replicates with whoever connects to it over TCP, told what to do by JSON lines on standard
// input and answering each with one on standard output. Bytes are hex.
//
//   {"do":"open","key":hex or null,"seed":hex or null}   the core: ours to write with a seed, else a copy of `key`
//   {"do":"append","blocks":[hex]}   {"do":"truncate","length":n,"fork":n}   {"do":"fill","count":n,"size":n}
//   {"do":"get","start":n,"end":n}   {"do":"wait","length":n}   {"do":"update"}   {"do":"state"}
//   {"do":"take","length":n}         everything up to a length, without telling the blocks
//   {"do":"also","key":hex}          replicate a copy of another feed over the same connections, from the next one on
//   {"do":"tamper","seq":n}          from now on give this block with one bit flipped
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import Hypercore from 'hypercore'
import crypto from 'hypercore-crypto'

const folder = mkdtempSync(join(tmpdir(), 'npm-core-'))
let core = null
let second = null
const errors = []
const sockets = new Set()

const server = createServer((socket) => {
  socket.setNoDelay(true)
  sockets.add(socket)
  socket.on('close', () => sockets.delete(socket))
  socket.on('error', () => {})
  const stream = core.replicate(false)
  stream.on('error', (error) => errors.push(String(error.message)))
  if (second) second.replicate(stream)
  socket.pipe(stream).pipe(socket)
})

const state = () => ({
  key: core.key.toString('hex'),
  length: core.length,
  fork: core.fork,
  errors,
  second: second && second.length
})

async function reaches(length) {
  while (core.length < length) await new Promise((resolve) => core.once('append', resolve))
}

const jobs = {
  async open({ key, seed }) {
    const keyPair = seed ? crypto.keyPair(Buffer.from(seed, 'hex')) : undefined
    core = new Hypercore(join(folder, 'core'), key ? Buffer.from(key, 'hex') : null, { keyPair })
    await core.ready()
    core.on('verification-error', (error) => errors.push('verification: ' + error.message))
    core.on('conflict', () => errors.push('conflict'))
    await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve))
    return { ...state(), port: server.address().port }
  },
  async append({ blocks }) {
    await core.append(blocks.map((block) => Buffer.from(block, 'hex')))
    return state()
  },
  async fill({ count, size }) {
    for (let start = 0; start < count; start += 1000) {
      const few = Math.min(1000, count - start)
      await core.append(Array.from({ length: few }, (_, number) => Buffer.alloc(size, String(start + number))))
    }
    return { ...state(), tree_hash: (await core.treeHash()).toString('hex') }
  },
  async take({ length }) {
    await reaches(length)
    await core.download({ start: 0, end: length }).done()
    return { ...state(), tree_hash: (await core.treeHash()).toString('hex') }
  },
  async also({ key }) {
    second = new Hypercore(join(folder, 'second'), Buffer.from(key, 'hex'))
    await second.ready()
    second.on('append', () => second.download({ start: 0, end: second.length }))
    return state()
  },
  async second({ length }) {
    while (second.length < length) await new Promise((resolve) => second.once('append', resolve))
    const blocks = []
    for (let seq = 0; seq < length; seq++) blocks.push((await second.get(seq)).toString('hex'))
    return { ...state(), blocks }
  },
  async tamper({ seq }) {
    const storage = core.core.storage
    const read = storage.read.bind(storage)
    storage.read = (...given) => {
      const batch = read(...given)
      const get = batch.getBlock.bind(batch)
      batch.getBlock = async (index) => {
        const block = await get(index)
        if (index !== seq) return block
        const other = Buffer.from(block)
        other[0] ^= 1
        return other
      }
      return batch
    }
    return state()
  },
  async truncate({ length, fork }) {
    await core.truncate(length, { fork })
    return state()
  },
  async wait({ length }) {
    await reaches(length)
    return state()
  },
  async update({ fork }) {
    while (core.fork < fork) await new Promise((resolve) => core.once('truncate', resolve))
    return state()
  },
  async get({ start, end }) {
    await core.download({ start, end }).done()
    const blocks = []
    for (let seq = start; seq < end; seq++) blocks.push((await core.get(seq)).toString('hex'))
    return { ...state(), blocks }
  },
  async state() {
    return state()
  }
}

for await (const line of createInterface({ input: process.stdin })) {
  const { do: job, ...options } = JSON.parse(line)
  try {
    process.stdout.write(JSON.stringify(await jobs[job](options)) + '\n')
  } catch (error) {
    process.stdout.write(JSON.stringify({ error: String(error.message) }) + '\n')
  }
}
for (const socket of sockets) socket.destroy()
server.close()
await core?.close()
await second?.close()
rmSync(folder, { recursive: true, force: true })
