"""HTTP/1.1 and the stream formats that providers answer in, both roles."""
