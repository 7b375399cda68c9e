// npm's secret-stream and protomux on a TCP connection to us: every message of the channel comes back, and so does
// its handshake. A message of type 1 comes back as three in one batch.

import net from 'node:net'
import Protomux from 'protomux'
import SecretStream from '@hyperswarm/secret-stream'
import c from 'compact-encoding'

const [port, role] = process.argv.slice(2)
const say = (line) => process.stdout.write(JSON.stringify(line) + '\n')

const stream = new SecretStream(role === 'initiator', null)
stream.on('error', (error) => say({ error: error.message }))
stream.on('close', () => say({ closed: true }))
const mux = new Protomux(stream)

function accept (id) {
  const channel = mux.createChannel({
    protocol: 'echo',
    id,
    handshake: c.raw,
    onopen: (handshake) => say({ opened: handshake.toString() }),
    onclose: () => say({ ended: id === null ? null : id.toString() })
  })
  const once = channel.addMessage({ encoding: c.raw, onmessage: (message) => once.send(message) })
  const thrice = channel.addMessage({
    encoding: c.raw,
    onmessage (message) {
      channel.cork()
      for (let i = 0; i < 3; i++) thrice.send(message)
      channel.uncork()
    }
  })
  channel.open(Buffer.from('hello from npm'))
}
mux.pair({ protocol: 'echo' }, accept)

const socket = net.connect(Number(port), '127.0.0.1')
socket.setNoDelay(true)
stream.rawStream.pipe(socket).pipe(stream.rawStream)
socket.on('error', () => {})

process.stdin.on('end', () => process.exit(0)).resume()
