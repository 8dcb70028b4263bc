"""Calls the Run API with a real client of gRPC: calls.py TARGET DESCRIPTORS [TOKEN].

Reads a call on each line of stdin, as ["Method", {request}], and writes what came of it: {"answer": …} or {"code": …}.
"""

import json
import sys

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


def call(name, request):
    """Call a method that may not be there."""
    method = service.methods_by_name.get(name, service.methods_by_name["GetRun"])
    stub = channel.unary_unary(
        f"/{service.full_name}/{name}",
        request_serializer=lambda message: message.SerializeToString(),
        response_deserializer=message_factory.GetMessageClass(method.output_type).FromString,
    )
    message = json_format.ParseDict(request, message_factory.GetMessageClass(method.input_type)())
    try:
        answer = stub(message, timeout=30, metadata=metadata)
        return {"answer": json_format.MessageToDict(answer, preserving_proto_field_name=True)}
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
