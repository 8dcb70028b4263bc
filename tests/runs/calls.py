"""Calls the Run API with a real client of gRPC: calls.py TARGET DESCRIPTORS [TOKEN].

Reads a call on each line of stdin, as ["Method", {request}, {how}], and writes what came of it: {"answer": …} or
{"code": …}. Of a method that answers with a stream each message is a line of its own before, {"message": …}. One that takes
a stream is given a list. How: "gzip" to compress, "cut_at" to break off once the server holds so many bytes of the file.
"""

import json
import sys
import threading
import time

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, json_format, message_factory
from google.rpc import error_details_pb2, status_pb2

target, descriptors, token = (*sys.argv[1:], "")[:3]
pool = descriptor_pool.DescriptorPool()
with open(descriptors, "rb") as file:
    for described in descriptor_pb2.FileDescriptorSet.FromString(file.read()).file:
        pool.Add(described)
service = pool.FindServiceByName("runlog.v1.RunService")
# A proxy that the environment names is not for this machine, and the path of a socket is no host.
options = [("grpc.enable_http_proxy", 0), ("grpc.default_authority", "localhost")]
channel = grpc.insecure_channel(target, options=options)
metadata = [("authorization", f"Bearer {token}")] if token else []


def kind(method):
    """Give whether a method takes a stream, and whether it answers with one."""
    described = descriptor_pb2.MethodDescriptorProto()
    method.CopyToProto(described)
    return described.client_streaming, described.server_streaming


def stub_of(name):
    """Give what calls a method that may not be there, what makes its message, and its kind."""
    method = service.methods_by_name.get(name, service.methods_by_name["GetRun"])
    takes_stream, gives_stream = kind(method)
    make = getattr(
        channel, f"{'stream' if takes_stream else 'unary'}_{'stream' if gives_stream else 'unary'}"
    )
    stub = make(
        f"/{service.full_name}/{name}",
        request_serializer=lambda message: message.SerializeToString(),
        response_deserializer=message_factory.GetMessageClass(method.output_type).FromString,
    )
    message_class = message_factory.GetMessageClass(method.input_type)
    return stub, lambda request: json_format.ParseDict(request, message_class()), takes_stream, gives_stream


def shown(message):
    """Give a message as JSON."""
    return json_format.MessageToDict(message, preserving_proto_field_name=True)


def cut(stub, messages, size):
    """Send all messages, and break off once the server holds so many bytes."""
    over = threading.Event()

    def sent():
        yield from messages
        over.wait()

    under_way = stub.future(sent(), timeout=30, metadata=metadata)
    look, make, *_ = stub_of("LookForFile")
    while look(make({"sha256": messages[0].sha256}), timeout=30, metadata=metadata).held_bytes < size:
        assert not under_way.done(), under_way.details()
        time.sleep(0.01)
    under_way.cancel()
    over.set()
    return {"code": "CUT"}


def call(name, request, how):
    """Call a method."""
    stub, make, takes_stream, gives_stream = stub_of(name)
    compression = grpc.Compression.Gzip if how.get("gzip") else None
    try:
        message = [make(one) for one in request] if takes_stream else make(request)
        if "cut_at" in how:
            return cut(stub, message, how["cut_at"])
        message = iter(message) if takes_stream else message
        answer = stub(message, timeout=30, metadata=metadata, compression=compression)
        if not gives_stream:
            return {"answer": shown(answer)}
        for one in answer:
            print(json.dumps({"message": shown(one)}), flush=True)
        return {"answer": {}}
    except grpc.RpcError as error:
        said = {"code": error.code().name, "message": error.details()}
        status = dict(error.trailing_metadata() or ()).get("grpc-status-details-bin")
        for detail in status_pb2.Status.FromString(status).details if status else ():
            info = error_details_pb2.ErrorInfo()
            assert detail.Unpack(info)
            said.update(reason=info.reason, domain=info.domain, **info.metadata)
        return said


for line in sys.stdin:
    print(json.dumps(call(*json.loads(line))), flush=True)
