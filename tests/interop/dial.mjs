// An npm Hypercore that dials a peer over TCP, downloads the feed of a key, and prints its blocks as JSON lines of hex.
// Argument: {"host":…,"port":n,"key":hex,"length":n,"seed":hex or null}; it ends once it has `length` blocks.
import { mkdtempSync, rmSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import Hypercore from 'hypercore'
import crypto from 'hypercore-crypto'

const { host, port, key, length, seed } = JSON.parse(process.argv[2])
const folder = mkdtempSync(join(tmpdir(), 'npm-core-'))
const core = new Hypercore(join(folder, 'core'), Buffer.from(key, 'hex'))
await core.ready()
const socket = connect({ host, port, noDelay: true })
socket.on('error', () => {})
const keyPair = seed ? crypto.keyPair(Buffer.from(seed, 'hex')) : undefined
const stream = core.replicate(true, { keyPair })
let refused = false
stream.on('error', () => {})
stream.on('close', () => { refused = true })
socket.pipe(stream).pipe(socket)
while (core.length < length && !refused) {
  await Promise.race([
    new Promise((resolve) => core.once('append', resolve)),
    new Promise((resolve) => stream.once('close', resolve))
  ])
}
for (let seq = 0; seq < length && !refused; seq++) console.log(JSON.stringify((await core.get(seq)).toString('hex')))
if (refused) console.log(JSON.stringify({ refused }))
socket.destroy()
await core.close()
rmSync(folder, { recursive: true, force: true })
process.exit(0)
