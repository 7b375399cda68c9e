// npm's hypercore as a peer on a TCP connection to us: it dials `port`, then plays the role it is told.
// Lines of JSON on stdout say what it is and what it hears; it ends with its standard input.

import net from 'node:net'
import Hypercore from 'hypercore'
import SecretStream from '@hyperswarm/secret-stream'

const [port, role, directory, count] = process.argv.slice(2)
const say = (line) => process.stdout.write(JSON.stringify(line) + '\n')
const hex = (buffer) => buffer.toString('hex')

const core = new Hypercore(directory)
await core.ready()
await core.append(Array.from({ length: Number(count) }, (_, seq) => Buffer.from(`block ${seq}`)))

const keyPair = SecretStream.keyPair(Buffer.alloc(32, 7))
say({ key: hex(core.key), discoveryKey: hex(core.discoveryKey), publicKey: hex(keyPair.publicKey) })

const stream = core.replicate(role === 'initiator', { keyPair })
stream.noiseStream.on('handshake', () => {
  const { remotePublicKey, handshakeHash } = stream.noiseStream
  say({ remotePublicKey: hex(remotePublicKey), handshakeHash: hex(handshakeHash) })
})
stream.on('error', (error) => say({ error: error.message }))
stream.on('close', () => say({ closed: true }))

const socket = net.connect(Number(port), '127.0.0.1')
socket.setNoDelay(true)
stream.pipe(socket).pipe(stream)
socket.on('error', () => {})

let told = ''
setInterval(() => {
  for (const peer of core.replicator.peers) {
    const heard = JSON.stringify({
      length: peer.remoteLength,
      fork: peer.remoteFork,
      synced: peer.remoteSynced,
      contiguous: peer.remoteContiguousLength
    })
    if (heard !== told) say(JSON.parse((told = heard)))
  }
}, 5)

process.stdin.on('end', () => process.exit(0)).resume()
