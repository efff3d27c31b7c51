"""The C structures in which ROS 2 describes a message type to its middleware, for ctypes.

Taken down from the headers `rosidl_runtime_c/message_type_support_struct.h`,
`rosidl_runtime_c/type_description/*__struct.h`,
`rosidl_typesupport_introspection_c/message_introspection.h` and
`rosidl_typesupport_fastrtps_cpp/message_type_support.h`, which are equal in the distributions of
`LAYOUT_VERSIONS`. What is only passed on is an untyped pointer here.
"""

import ctypes

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
