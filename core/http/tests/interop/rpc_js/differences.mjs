// Where the answers to the JavaScript client differ from Kubo's on purpose: the name of the call, the reason, and what ours is.
const online = 'scripts and monitors ask a node that is online; ours has no peers, and says so without an error'
export default {
  'swarm.peers': { why: online, ours: { result: [] } },
  'swarm.localAddrs': { why: online, ours: { result: true } },
  'bitswap.stat': { why: online, ours: { result: ['blocksReceived', 'blocksSent', 'dataReceived', 'dataSent', 'dupBlksReceived', 'dupDataReceived', 'peers', 'provideBufLen', 'wantlist'] } },
  'bitswap.wantlist': { why: online, ours: { result: [] } },
  'stats.bw': { why: online, ours: { result: 1 } },
  'dag.import broken': { why: 'names the byte at which the file ends', ours: { error: '500 import failed: at byte 300810 of the CAR: the CAR ends inside a section of 46 bytes; was it cut short?' } }
}
