# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 the scenedino_ros authors

"""A class for the messages of /tf and /tf_static where the package `tf2_msgs` is not installed.

`tf_message_type` imports this module only there: it assembles C structures through ctypes, and an
error in it could end the process. A ROS installation, which has `tf2_msgs`, never loads it.

A publisher of bytes and a `raw` subscription never look inside a message. All that the middleware
needs from the class `tf2_msgs/msg/TFMessage` is its C type support: a name, a hash, and a
description of the fields. ROS 2 from Python wheels has everything except that one, so this module
assembles it from two types that are installed:

    geometry_msgs/Polygon     `Point32[] points`: one unbounded list of messages, as TFMessage is
    geometry_msgs/TransformStamped     what TFMessage lists

A copy of Polygon's type support, with other names and another element, is the type support of
TFMessage. The code compares everything it borrows with the expected value before it uses it, and
ROS's own code computes the type's hash from the result, so an unknown layout ends in an error
instead of a crash.

The structures are those of rosidl_runtime_c (`message_type_support_struct.h`,
`type_description/*__struct.h`), rosidl_typesupport_introspection_c (`message_introspection.h`) and
rosidl_typesupport_fastrtps_cpp (`message_type_support.h`), which are equal in the distributions of
`LAYOUT_VERSIONS`. What is only passed on is an untyped pointer here.
"""

import ctypes
import functools
import importlib.metadata
from typing import Any

from geometry_msgs.msg import Polygon, TransformStamped
from rclpy.utilities import get_rmw_implementation_identifier

from scenedino_ros.core.errors import TransformError

# REP 2016 hash of tf2_msgs/msg/TFMessage: version 1, then SHA-256 of its description.
_TYPE_HASH = bytes.fromhex("01e369d0f05a23ae52508854b66f6aa0437f3449d652e8cbf22d5abe85d020f087")
_FASTRTPS = b"rosidl_typesupport_fastrtps_c"
_INTROSPECTION = b"rosidl_typesupport_introspection_c"
_DYNAMIC = b"rosidl_dynamic_typesupport_c"
# Private names of a message class, seen in rosidl_generator_py 0.24 (Kilted).
_CONVERTERS = tuple(
    f"_{name}"
    for name in ("CREATE_ROS_MESSAGE", "CONVERT_FROM_PY", "CONVERT_TO_PY", "DESTROY_ROS_MESSAGE")
)
_NESTED_TYPE_LIST = 145  # FieldType.FIELD_TYPE_NESTED_TYPE_UNBOUNDED_SEQUENCE
# Versions of the package rosidl_typesupport_fastrtps_c with this layout: Jazzy, Kilted.
LAYOUT_VERSIONS = ("3.6", "3.8")
POINTER = ctypes.c_void_p


class TypeSupport(ctypes.Structure):
    """`rosidl_message_type_support_t`."""

    _fields_ = (
        ("identifier", ctypes.c_char_p),
        ("data", POINTER),
        ("find", POINTER),
        ("get_hash", POINTER),
        ("get_description", POINTER),
        ("get_sources", POINTER),
    )


class Callbacks(ctypes.Structure):
    """`message_type_support_callbacks_t` of the C++ header: names, then how to (de)serialize."""

    _fields_ = (
        ("namespace", ctypes.c_char_p),
        ("name", ctypes.c_char_p),
        ("cdr_serialize", POINTER),
        ("cdr_deserialize", POINTER),
        ("get_serialized_size", POINTER),
        ("max_serialized_size", POINTER),
        ("key_callbacks", POINTER),
    )


class Member(ctypes.Structure):
    """`rosidl_typesupport_introspection_c__MessageMember`: one field of a message."""

    _fields_ = (
        ("name", ctypes.c_char_p),
        ("type_id", ctypes.c_uint8),
        ("string_upper_bound", ctypes.c_size_t),
        ("members", POINTER),
        ("is_key", ctypes.c_bool),
        ("is_array", ctypes.c_bool),
        ("array_size", ctypes.c_size_t),
        ("is_upper_bound", ctypes.c_bool),
        ("offset", ctypes.c_uint32),
        ("default_value", POINTER),
        ("functions", POINTER * 6),
    )


class Members(ctypes.Structure):
    """`rosidl_typesupport_introspection_c__MessageMembers`: all fields of a message."""

    _fields_ = (
        ("namespace", ctypes.c_char_p),
        ("name", ctypes.c_char_p),
        ("count", ctypes.c_uint32),
        ("size", ctypes.c_size_t),
        ("has_key", ctypes.c_bool),
        ("members", ctypes.POINTER(Member)),
        ("init", POINTER),
        ("fini", POINTER),
    )


class String(ctypes.Structure):
    """`rosidl_runtime_c__String`."""

    _fields_ = (
        ("data", ctypes.c_char_p),
        ("size", ctypes.c_size_t),
        ("capacity", ctypes.c_size_t),
    )


class Field(ctypes.Structure):
    """`rosidl_runtime_c__type_description__Field`, its `FieldType` included."""

    _fields_ = (
        ("name", String),
        ("type_id", ctypes.c_uint8),
        ("capacity", ctypes.c_uint64),
        ("string_capacity", ctypes.c_uint64),
        ("nested_type_name", String),
        ("default_value", String),
    )


class Individual(ctypes.Structure):
    """`rosidl_runtime_c__type_description__IndividualTypeDescription`."""

    _fields_ = (
        ("type_name", String),
        ("fields", ctypes.POINTER(Field)),
        ("size", ctypes.c_size_t),
        ("capacity", ctypes.c_size_t),
    )


class Description(ctypes.Structure):
    """`rosidl_runtime_c__type_description__TypeDescription`."""

    _fields_ = (
        ("main", Individual),
        ("referenced", ctypes.POINTER(Individual)),
        ("size", ctypes.c_size_t),
        ("capacity", ctypes.c_size_t),
    )


class Source(ctypes.Structure):
    """`rosidl_runtime_c__type_description__TypeSource`."""

    _fields_ = (("type_name", String), ("encoding", String), ("contents", String))


class Sources(ctypes.Structure):
    """`rosidl_runtime_c__type_description__TypeSource__Sequence`."""

    _fields_ = (
        ("data", ctypes.POINTER(Source)),
        ("size", ctypes.c_size_t),
        ("capacity", ctypes.c_size_t),
    )


# `find` of a type support, and its three getters.
FIND = ctypes.CFUNCTYPE(POINTER, POINTER, ctypes.c_char_p)
GET = ctypes.CFUNCTYPE(POINTER, POINTER)


@functools.cache
def assembled_message_class() -> type:
    """Return a class with the name, type and hash of `tf2_msgs.msg.TFMessage`.

    Raises:
        TransformError: If this is not an installation for which the layout is known.
    """
    _check_versions()
    try:
        handle, kept = _type_support()
        borrowed = type(Polygon)
        # rclpy reads these from the class's class, and refuses a class without converters. They
        # are Polygon's, as the callbacks are, so that even a call stays inside a message's memory.
        converters = {name: getattr(borrowed, name) for name in _CONVERTERS}
    except (OSError, AttributeError) as error:  # a library or a name of it is not there
        raise _unsupported(str(error)) from error
    # The middleware keeps these addresses to the end of the process, after Python drops modules.
    ctypes.PyDLL(None).Py_IncRef(ctypes.py_object(kept))
    capsule = ctypes.PyDLL(None).PyCapsule_New  # not pythonapi's, whose types others may have set
    capsule.restype = ctypes.py_object
    capsule.argtypes = (POINTER, ctypes.c_char_p, POINTER)
    support = {"_TYPE_SUPPORT": capsule(handle, None, None), **converters}
    metaclass = type("Metaclass_TFMessage", (type,), support)
    found: type = metaclass(
        "TFMessage", (), {"__slots__": (), "__new__": _refuse_instance, "__module__": __name__}
    )
    return found


def _refuse_instance(cls: type, *args: Any, **kwargs: Any) -> Any:
    raise TypeError("tf2_msgs is not installed: publish bytes and subscribe raw instead")


def _check_versions() -> None:
    middleware = get_rmw_implementation_identifier()
    if middleware != "rmw_fastrtps_cpp":
        raise _unsupported(f"the middleware is {middleware}, expected rmw_fastrtps_cpp")
    if ctypes.sizeof(POINTER) != 8:
        raise _unsupported("a 64-bit Python is expected")
    try:
        version = importlib.metadata.version("rosidl_typesupport_fastrtps_c")
    except importlib.metadata.PackageNotFoundError:
        version = "unknown"
    if version.rpartition(".")[0] not in LAYOUT_VERSIONS:
        raise _unsupported(
            f"rosidl_typesupport_fastrtps_c is of version {version}, expected "
            + " or ".join(f"{known}.x" for known in LAYOUT_VERSIONS)
        )


def _unsupported(reason: str) -> TransformError:
    return TransformError(
        f"/tf cannot be used, since the package tf2_msgs is not installed and {reason}; set "
        "grid.static_transform, or use a ROS installation that has tf2_msgs"
    )


def _expect(what: str, value: Any, expected: Any) -> None:
    if value != expected:
        raise _unsupported(f"{what} is {value!r}, expected {expected!r}")


def _type_support() -> tuple[int, list[Any]]:
    """Return the address of TFMessage's type support, and all objects it must outlive."""
    callbacks = _callbacks()
    members, member = _introspection()
    description, sources, parts = _description()
    type_hash = ctypes.create_string_buffer(_TYPE_HASH, len(_TYPE_HASH))
    kept = [callbacks, members, member, description, sources, parts, type_hash]

    handles = {}
    for identifier, data in ((_FASTRTPS, callbacks), (_INTROSPECTION, members)):
        handle = TypeSupport()
        # The middleware compares this pointer with its own, hence the borrowed one.
        ctypes.memmove(ctypes.addressof(handle), _borrowed(Polygon, identifier), 8)
        handle.data = ctypes.addressof(data)
        handles[identifier] = handle

    # The middleware calls the four functions while it holds a lock of its own and this thread
    # holds the interpreter's. Python code could hand the interpreter to a thread that waits for
    # the other lock, and nothing would move again. So all of it is C: the `get` of a dict, and a
    # cache that is warm already.
    @functools.cache
    def find(handle: int, identifier: bytes) -> int | None:
        return ctypes.addressof(handles[identifier]) if identifier in handles else None

    addresses = [ctypes.addressof(handle) for handle in handles.values()]
    getters = {
        name: GET(dict.fromkeys(addresses, ctypes.addressof(thing)).get)
        for name, thing in (
            ("get_hash", type_hash),
            ("get_description", description),
            ("get_sources", sources),
        )
    }
    find_callback = FIND(find)
    for handle in handles.values():
        handle.find = ctypes.cast(find_callback, POINTER).value
        for name, getter in getters.items():
            setattr(handle, name, ctypes.cast(getter, POINTER).value)
    for identifier in (*handles, _DYNAMIC):  # all that the middleware asks for
        find(ctypes.addressof(handles[_FASTRTPS]), identifier)
    kept += [handles, find_callback, getters]
    _check_hash(description)
    return ctypes.addressof(handles[_FASTRTPS]), kept


def _borrowed(message_class: type, identifier: bytes) -> int:
    """Return the address of an installed type's support for one middleware interface."""
    metaclass: Any = type(message_class)
    if metaclass._TYPE_SUPPORT is None:
        metaclass.__import_type_support__()
    pointer = ctypes.PyDLL(None).PyCapsule_GetPointer
    pointer.restype = POINTER
    pointer.argtypes = (ctypes.py_object, ctypes.c_char_p)
    address = pointer(metaclass._TYPE_SUPPORT, None)
    general = TypeSupport.from_address(_readable(address, TypeSupport))
    _expect("the kind of a type support", general.identifier, b"rosidl_typesupport_c")
    found = FIND(general.find)(address, identifier)
    if found is None:
        raise _unsupported(f"{message_class.__name__} has no {identifier.decode()}")
    special = TypeSupport.from_address(_readable(found, TypeSupport))
    _expect("the kind of a type support", special.identifier, identifier)
    return found


def _copied(address: int | None, structure: type[ctypes.Structure]) -> Any:
    return structure.from_buffer_copy(
        ctypes.string_at(_readable(address, structure), ctypes.sizeof(structure))
    )


def _readable(address: int | None, structure: type[ctypes.Structure]) -> int:
    """Return the address, having made sure that a whole structure can be read there.

    For memory that is not there the kernel returns an error; a pointer would end the process.
    """
    if not address:
        raise _unsupported(f"there is no {structure.__doc__}")
    with open("/proc/self/mem", "rb", buffering=0) as memory:
        memory.seek(address)
        _expect(
            "readable memory", len(memory.read(ctypes.sizeof(structure))), ctypes.sizeof(structure)
        )
    return address


def _callbacks() -> Callbacks:
    support = _copied(_borrowed(Polygon, _FASTRTPS), TypeSupport)
    callbacks = _copied(support.data, Callbacks)
    _expect("Polygon's namespace", callbacks.namespace, b"geometry_msgs::msg")
    _expect("Polygon's name", callbacks.name, b"Polygon")
    _expect("Polygon's key", callbacks.key_callbacks, None)
    callbacks.namespace, callbacks.name = b"tf2_msgs::msg", b"TFMessage"
    return callbacks


def _introspection() -> tuple[Members, Member]:
    support = _copied(_borrowed(Polygon, _INTROSPECTION), TypeSupport)
    members = _copied(support.data, Members)
    _expect("Polygon's namespace", members.namespace, b"geometry_msgs__msg")
    _expect("Polygon's name", members.name, b"Polygon")
    _expect("Polygon's fields and bytes", (members.count, members.size), (1, 24))
    member = _copied(ctypes.cast(members.members, POINTER).value, Member)
    _expect("Polygon's field", member.name, b"points")
    _expect("Polygon's list", (member.is_array, member.array_size), (True, 0))
    points = TypeSupport.from_address(_readable(member.members, TypeSupport))
    _expect("the kind of a type support", points.identifier, _INTROSPECTION)
    member.name = b"transforms"
    member.members = _borrowed(TransformStamped, _INTROSPECTION)
    members.namespace, members.name = b"tf2_msgs__msg", b"TFMessage"
    members.members = ctypes.pointer(member)
    return members, member


def _string(text: bytes) -> String:
    return String(text, len(text), len(text) + 1)


def _description() -> tuple[Description, Sources, list[Any]]:
    """Return TFMessage's description, its source, and what both point to."""
    address = _borrowed(TransformStamped, _FASTRTPS)
    getter = _copied(address, TypeSupport).get_description
    element = _copied(GET(getter)(address), Description)
    _expect(
        "an element's type", element.main.type_name.data, b"geometry_msgs/msg/TransformStamped"
    )
    below = [element.referenced[index] for index in range(element.size)]
    below = sorted([element.main, *below], key=lambda individual: individual.type_name.data)
    referenced = (Individual * len(below))(*below)

    transforms = Field(
        name=_string(b"transforms"),
        type_id=_NESTED_TYPE_LIST,
        nested_type_name=_string(b"geometry_msgs/msg/TransformStamped"),
    )
    main = Individual(_string(b"tf2_msgs/msg/TFMessage"), ctypes.pointer(transforms), 1, 1)
    description = Description(main, referenced, len(below), len(below))
    # "dynamic" is the encoding of a type made by a program: it has no text.
    source = Source(_string(b"tf2_msgs/msg/TFMessage"), _string(b"dynamic"), String())
    sources = Sources(ctypes.pointer(source), 1, 1)
    return description, sources, [element, below, referenced, transforms, source]


def _check_hash(description: Description) -> None:
    """Let ROS itself compute the hash of the description; it matches if every field is right."""
    rcl = ctypes.CDLL("librcl.so")  # loaded by rclpy already, and found by its name alone
    convert = rcl.rcl_convert_type_description_runtime_to_msg
    convert.restype, convert.argtypes = POINTER, (POINTER,)
    calculate = rcl.rcl_calculate_type_hash
    calculate.restype, calculate.argtypes = ctypes.c_int, (POINTER, POINTER)
    message = convert(ctypes.addressof(description))
    if not message:
        raise _unsupported("rcl refuses the description of the message")
    # The message, a kilobyte once per process, is not freed: that takes one more library.
    computed = ctypes.create_string_buffer(len(_TYPE_HASH))
    _expect("rcl's answer", calculate(message, ctypes.addressof(computed)), 0)
    _expect("the hash of the message", computed.raw.hex(), _TYPE_HASH.hex())
