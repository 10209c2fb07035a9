package main

// defaultDataDir is where a server's data is unless said, and where the client
// side looks when it is told nothing.
const defaultDataDir = `C:\ProgramData\latchkey-server`
