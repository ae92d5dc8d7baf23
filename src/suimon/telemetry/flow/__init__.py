"""Flow records of NetFlow v5 and v9, IPFIX and sFlow v5: datagrams come in, batches of `model/records.py` go out.

`Collector` is called with what the receiver took from its sockets. Whatever the bytes are, each datagram gives records
or is counted where it was lost: at the socket, on its way (a gap in the sequence), for want of its template, as
malformed, or from who is no exporter of ours.
"""
