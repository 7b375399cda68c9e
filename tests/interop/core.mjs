// The npm Hypercore as one who writes a feed and proves it, or copies one and checks it: one job as JSON on standard
// input, the answer as JSON on standard output. Bytes are hex, a tree node is [index, size, hash].
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import Hypercore from 'hypercore'
import c from 'compact-encoding'
import crypto from 'hypercore-crypto'
import { MerkleTree } from 'hypercore/lib/merkle-tree.js'
import messages from 'hypercore/lib/messages.js'

const bytes = (hex) => Buffer.from(hex, 'hex')
const hex = (buffer) => (buffer ? Buffer.from(buffer).toString('hex') : null)
const outOfNode = (node) => [node.index, node.size, hex(node.hash)]
const intoNode = ([index, size, hash]) => ({ index, size, hash: bytes(hash) })

function outOfProof(proof) {
  const { fork, block, hash, seek, upgrade } = proof
  return {
    fork,
    block: block && { index: block.index, value: hex(block.value) ?? '', nodes: block.nodes.map(outOfNode) },
    hash: hash && { index: hash.index, nodes: hash.nodes.map(outOfNode) },
    seek: seek && { bytes: seek.bytes, nodes: seek.nodes.map(outOfNode) },
    upgrade: upgrade && {
      start: upgrade.start,
      length: upgrade.length,
      nodes: upgrade.nodes.map(outOfNode),
      additional_nodes: upgrade.additionalNodes.map(outOfNode),
      signature: hex(upgrade.signature)
    }
  }
}

function intoProof(proof, manifest) {
  const { fork, block, hash, seek, upgrade } = proof
  return {
    fork,
    block: block && { index: block.index, value: bytes(block.value), nodes: block.nodes.map(intoNode) },
    hash: hash && { index: hash.index, nodes: hash.nodes.map(intoNode) },
    seek: seek && { bytes: seek.bytes, nodes: seek.nodes.map(intoNode) },
    upgrade: upgrade && {
      start: upgrade.start,
      length: upgrade.length,
      nodes: upgrade.nodes.map(intoNode),
      additionalNodes: upgrade.additional_nodes.map(intoNode),
      signature: bytes(upgrade.signature)
    },
    manifest
  }
}

// As the package's own replication does it: the reads are sent off only when a seek has looked at its sizes.
async function prove(state, request) {
  const reading = state.storage.read()
  let planned = null
  try {
    planned = await MerkleTree.proof(state, reading, request)
  } catch (error) {
    reading.destroy() // a reading that is never sent off would keep the process from ending
    throw error
  }
  const block = request.block ? reading.getBlock(request.block.index) : null
  reading.tryFlush()
  const proof = await planned.settle()
  if (block) proof.block.value = await block
  return proof
}

async function write(job, folder) {
  const keyPair = crypto.keyPair(bytes(job.seed))
  const core = new Hypercore(folder, { keyPair, compat: job.compat })
  await core.ready()
  for (const batch of job.batches) await core.append(batch.map(bytes))
  if (job.truncate) await core.truncate(job.truncate[0], job.truncate[1])
  const state = core.core.state
  const proofs = []
  for (const request of job.requests) {
    try {
      proofs.push(outOfProof(await prove(core.core.state, request)))
    } catch (error) {
      proofs.push({ error: error.code ?? String(error) })
    }
  }
  const answer = {
    key: hex(core.key),
    discovery_key: hex(core.discoveryKey),
    manifest: hex(c.encode(messages.manifest, core.manifest)),
    fork: core.fork,
    length: core.length,
    byte_length: core.byteLength,
    tree_hash: hex(state.hash()),
    signature: hex(state.signature),
    seeks: await Promise.all(job.seeks.map((offset) => core.seek(offset))),
    proofs
  }
  await core.close()
  return answer
}

async function check(job, folder) {
  const core = new Hypercore(folder, bytes(job.key))
  await core.ready()
  const manifest = job.manifest ? c.decode(messages.manifest, bytes(job.manifest)) : null
  const results = []
  for (const proof of job.proofs) {
    try {
      results.push(await core.core.verify(intoProof(proof, manifest)))
    } catch (error) {
      results.push(error.code ?? String(error))
    }
  }
  const blocks = []
  for (let seq = 0; seq < core.length; seq++) blocks.push(hex(await core.get(seq, { wait: false })))
  const answer = { results, length: core.length, tree_hash: hex(core.core.state.hash()), blocks }
  await core.close()
  return answer
}

const folder = mkdtempSync(join(tmpdir(), 'crow-interop-'))
try {
  const job = JSON.parse(readFileSync(0, 'utf8'))
  const answer = await { write, check }[process.argv[2]](job, folder)
  process.stdout.write(JSON.stringify(answer))
} finally {
  rmSync(folder, { recursive: true, force: true })
}
