// npm's hypercore alone, for the benchmark: one process gives a feed, another takes it, over TCP on loopback.
//
//   node bare.mjs give COUNT BYTES     says {"key", "port"} once its feed of that many blocks is there
//   node bare.mjs take PORT KEY COUNT  says {"seconds"} once it has them all, from the connection on
//   node bare.mjs append COUNT BATCH BYTES   says {"seconds"} once that many are appended, a batch at a time
import { mkdtempSync, rmSync } from 'node:fs'
import net from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import Hypercore from 'hypercore'

const folder = mkdtempSync(join(tmpdir(), 'npm-bare-'))
const say = (line) => process.stdout.write(JSON.stringify(line) + '\n')
const BATCH = 1000

async function fill(core, count, batch, bytes) {
  for (let start = 0; start < count; start += batch) {
    const many = Math.min(batch, count - start)
    await core.append(Array.from({ length: many }, (_, seq) => Buffer.from(`${start + seq} `.padEnd(bytes, 'x'))))
  }
}

async function append(count, batch, bytes) {
  const core = new Hypercore(join(folder, 'core'))
  await core.ready()
  const began = performance.now()
  await fill(core, count, batch, bytes)
  say({ seconds: (performance.now() - began) / 1000 })
}

async function give(count, bytes) {
  const core = new Hypercore(join(folder, 'core'))
  await core.ready()
  await fill(core, count, BATCH, bytes)
  const server = net.createServer((socket) => {
    socket.setNoDelay(true)
    socket.on('error', () => {})
    const stream = core.replicate(false)
    stream.on('error', () => {})
    socket.pipe(stream).pipe(socket)
  })
  server.listen(0, '127.0.0.1', () => say({ key: core.key.toString('hex'), port: server.address().port }))
}

async function take(port, key, count) {
  const core = new Hypercore(join(folder, 'core'), Buffer.from(key, 'hex'))
  await core.ready()
  const began = performance.now()
  const socket = net.connect(port, '127.0.0.1')
  socket.setNoDelay(true)
  socket.on('error', () => {})
  const stream = core.replicate(true)
  stream.on('error', () => {})
  socket.pipe(stream).pipe(socket)
  await core.download({ start: 0, end: count }).done()
  say({ seconds: (performance.now() - began) / 1000 })
}

function end() {
  rmSync(folder, { recursive: true, force: true, maxRetries: 10 })
  process.exit(0)
}

process.stdin.on('end', end).resume()
const [role, ...rest] = process.argv.slice(2)
if (role === 'give') await give(Number(rest[0]), Number(rest[1]))
else if (role === 'append') await append(...rest.map(Number))
else await take(Number(rest[0]), rest[1], Number(rest[2]))
