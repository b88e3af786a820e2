# Compiled as it is: a handshake is too rare, and mostly too much of others' code, for types to tell.
