// Where the answers to the JavaScript client differ from Kubo's on purpose: the name of the call, the reason, and what ours is.
export default {
}
