"""Prints the SHA-256 of every tensor (or, without tensors, of every file) of a model that a Cairn daemon serves.

Standard library only. Usage: consumer.py SOCKET VOLUME PATH
Started by `cairn-gpu run`, it needs no arguments: the model is inherited.
"""

import hashlib
import json
import mmap
import os
import socket
import sys

MOST_DESCRIPTORS = 250


def read_line(connection, rest):
    """One line, and the descriptors that came with it."""
    data, descriptors = rest, []
    while b"\n" not in data:
        more, received, _flags, _address = socket.recv_fds(connection, 65536, MOST_DESCRIPTORS)
        if not more:
            sys.exit("the daemon hung up")
        data += more
        descriptors += received
    line, _, rest = data.partition(b"\n")
    message = json.loads(line)
    if "error" in message:
        sys.exit(f"{message['error']['message']} ({message['error']['hint']})")
    return message, descriptors, rest


def load(path, model):
    """Asks a daemon for a model. The lease lasts as long as the connection, so that is returned, too."""
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(path)
    greeting, _, rest = read_line(connection, b"")
    if greeting["cairn"] != 1:
        sys.exit("the daemon speaks another version of the protocol")
    request = {"cairn": 1, "id": 1, "op": "load", "descriptors": True, "model": model}
    connection.sendall(json.dumps(request).encode() + b"\n")
    answer, descriptors, _ = read_line(connection, rest)
    return connection, answer["manifest"], descriptors


def inherited():
    """What `cairn-gpu run` hands over: paths that open the manifest and the regions."""
    with open(os.environ["CAIRN_GPU_MANIFEST"]) as file:
        manifest = json.load(file)
    return manifest, [os.open(region["path"], os.O_RDONLY) for region in manifest["regions"]]


def main():
    if len(sys.argv) > 1:
        _connection, manifest, descriptors = load(sys.argv[1], {"volume": sys.argv[2], "path": sys.argv[3]})
    else:
        manifest, descriptors = inherited()
    regions = [
        memoryview(mmap.mmap(descriptor, region["size"], mmap.MAP_SHARED, mmap.PROT_READ) if region["size"] else b"")
        for descriptor, region in zip(descriptors, manifest["regions"])
    ]
    for tensor in manifest["tensors"]:
        data = regions[tensor["region"]][tensor["offset"] : tensor["offset"] + tensor["size"]]
        print(hashlib.sha256(data).hexdigest(), tensor["name"], tensor["dtype"], tensor["shape"])
    for file in manifest["files"] if not manifest["tensors"] else []:
        print(hashlib.sha256(regions[file["region"]]).hexdigest(), file["path"])


main()
