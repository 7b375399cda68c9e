// PouchDB with its server, both on LevelDB: one process serves a database, another replicates it over HTTP.
//
//   node pouch.mjs serve COUNT BYTES   says {"url"} once a database of that many documents answers; then writes one
//                                      document for each line that it reads
//   node pouch.mjs take URL COUNT      says {"seconds"} once it has them all, from the first request on
//   node pouch.mjs follow URL          says {"ready"} once it follows live, then {"milliseconds"} for each document
//                                      that comes, from before its write to its being here
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import express from 'express'
import serving from 'express-pouchdb'
import PouchDB from 'pouchdb'

const folder = mkdtempSync(join(tmpdir(), 'pouch-'))
const say = (line) => process.stdout.write(JSON.stringify(line) + '\n')
const now = () => performance.timeOrigin + performance.now() // the same clock in both processes
const BATCH = 1000
const KEPT = { batch_size: BATCH, batches_limit: 10 }

async function serve(lines, count, bytes) {
  const Kept = PouchDB.defaults({ prefix: folder + '/' })
  const db = new Kept('rows')
  for (let start = 0; start < count; start += BATCH) {
    const many = Math.min(BATCH, count - start)
    await db.bulkDocs(
      Array.from({ length: many }, (_, number) => ({ _id: `${start + number}`, text: 'x'.repeat(bytes) }))
    )
  }
  const app = express().use('/', serving(Kept, { mode: 'minimumForPouchDB', inMemoryConfig: true, logPath: '/dev/null' }))
  const server = app.listen(0, '127.0.0.1', () => say({ url: `http://127.0.0.1:${server.address().port}/rows` }))
  lines.on('line', () => db.post({ written: now(), text: 'x'.repeat(bytes) }))
}

async function take(url, count) {
  const here = new PouchDB(join(folder, 'copy'))
  const began = performance.now()
  await here.replicate.from(url, KEPT)
  const seconds = (performance.now() - began) / 1000
  const held = (await here.info()).doc_count
  if (held < count) throw new Error(`${held} documents came, of ${count}`)
  say({ seconds })
}

async function follow(url) {
  const here = new PouchDB(join(folder, 'copy'))
  await here.replicate.from(url, KEPT)
  const changes = here.changes({ live: true, since: 'now', include_docs: true })
  changes.on('change', ({ doc }) => say({ milliseconds: now() - doc.written }))
  here.replicate.from(url, { ...KEPT, live: true }).once('paused', () => say({ ready: true }))
}

function end() {
  rmSync(folder, { recursive: true, force: true, maxRetries: 10 })
  process.exit(0)
}

const lines = createInterface({ input: process.stdin })
lines.on('close', end)
const [role, ...rest] = process.argv.slice(2)
if (role === 'serve') await serve(lines, ...rest.map(Number))
else if (role === 'take') await take(rest[0], Number(rest[1]))
else await follow(rest[0])
