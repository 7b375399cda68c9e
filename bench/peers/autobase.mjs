// Autobase, one writer: entries appended one at a time, each applied to the view.
//
//   node autobase.mjs append COUNT BYTES   says {"seconds"} once that many are appended and stand in the view
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import Autobase from 'autobase'
import Corestore from 'corestore'

const folder = mkdtempSync(join(tmpdir(), 'autobase-'))
const [, count, bytes] = process.argv.slice(2).map(Number)

async function apply(nodes, view) {
  for (const node of nodes) await view.append(node.value)
}

const base = new Autobase(new Corestore(folder), null, { apply, open: (store) => store.get('rows') })
await base.ready()
const began = performance.now()
for (let number = 0; number < count; number++) await base.append(Buffer.from(`${number} `.padEnd(bytes, 'x')))
const seconds = (performance.now() - began) / 1000
if (base.view.length !== count) throw new Error(`${base.view.length} entries stand in the view, of ${count}`)
process.stdout.write(JSON.stringify({ seconds }) + '\n')
await base.close()
rmSync(folder, { recursive: true, force: true, maxRetries: 10 })
