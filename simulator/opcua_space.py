"""The OPC UA address space of a plant: folders as in ISA-95, one object per device, one variable per tag.

Node ids are `ns=2;s=<site>.<device>.<tag>`. Analog tags are AnalogItemType; EURange and EngineeringUnits (a UCUM code) hang on every
tag that has them. Values are set by the first samples.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from asyncua import Server, ua

from schemas.definitions import DataType
from simulator.plant import Device, Tag

NAMESPACE_URI = "urn:millrace:simulated-plant"
NAMESPACE = 2
UCUM_URI = "http://unitsofmeasure.org"

VARIANT_TYPES = {
    DataType.DOUBLE: ua.VariantType.Double,
    DataType.INTEGER: ua.VariantType.Int64,
    DataType.BOOLEAN: ua.VariantType.Boolean,
}
_INITIAL: dict[DataType, Any] = {DataType.DOUBLE: 0.0, DataType.INTEGER: 0, DataType.BOOLEAN: False}


def node_id(tag: Tag) -> Any:
    """Node id of a tag's variable."""
    return _id(f"{tag.device}.{tag.name}")


async def build(server: Server, devices: Iterable[Device]) -> None:
    """Add all nodes to a server that has been initialised and not started."""
    namespace = await server.register_namespace(NAMESPACE_URI)
    if namespace != NAMESPACE:
        msg = f"{NAMESPACE_URI} got namespace index {namespace}, but addresses say {NAMESPACE}"
        raise RuntimeError(msg)
    for result in await server.iserver.isession.add_nodes(list(_items(devices))):
        result.StatusCode.check()


def _items(devices: Iterable[Device]) -> Iterator[Any]:
    root = ua.NodeId(ua.ObjectIds.ObjectsFolder)
    folders: set[str] = set()
    for device in devices:
        parent = root
        parts = device.path.split("/")
        # The enterprise is the server itself; below it site, area, line and cell.
        for depth in range(2, len(parts)):
            path = "/".join(parts[:depth])
            if path not in folders:
                folders.add(path)
                yield _object(_id(path), parent, parts[depth - 1], ua.ObjectIds.Organizes, ua.ObjectIds.FolderType)
            parent = _id(path)
        yield _object(_id(device.key), parent, device.name, ua.ObjectIds.Organizes, ua.ObjectIds.BaseObjectType)
        for tag in device.tags:
            yield from _tag(_id(device.key), tag)


def _tag(parent: Any, tag: Tag) -> Iterator[Any]:
    analog = tag.data_type is DataType.DOUBLE and tag.eu is not None
    variant_type = VARIANT_TYPES[tag.data_type]
    attributes = _variable_attributes(tag.name, ua.Variant(_INITIAL[tag.data_type], variant_type))
    attributes.Description = ua.LocalizedText(tag.description)
    attributes.DataType = ua.NodeId(variant_type.value)
    attributes.MinimumSamplingInterval = tag.period_us / 1000
    if tag.writable:
        attributes.AccessLevel |= ua.AccessLevel.CurrentWrite.mask
        attributes.UserAccessLevel |= ua.AccessLevel.CurrentWrite.mask
    kind = ua.ObjectIds.AnalogItemType if analog else ua.ObjectIds.BaseDataVariableType
    yield _item(node_id(tag), parent, tag.name, ua.ObjectIds.HasComponent, kind, attributes)
    if tag.eu is not None:
        yield _property(tag, "EURange", ua.Range(Low=tag.eu[0], High=tag.eu[1]), ua.ObjectIds.Range)
    # UnitId -1: the unit is a UCUM code, not one of UNECE's numbers (OPC 10000-8, 5.6.3.4).
    text = ua.LocalizedText(tag.unit)
    unit = ua.EUInformation(NamespaceUri=UCUM_URI, UnitId=-1, DisplayName=text, Description=text)
    yield _property(tag, "EngineeringUnits", unit, ua.ObjectIds.EUInformation)


def _property(tag: Tag, name: str, value: Any, data_type: int) -> Any:
    attributes = _variable_attributes(name, ua.Variant(value, ua.VariantType.ExtensionObject))
    attributes.DataType = ua.NodeId(data_type)
    identifier = _id(f"{tag.device}.{tag.name}.{name}")
    reference, kind = ua.ObjectIds.HasProperty, ua.ObjectIds.PropertyType
    return _item(identifier, node_id(tag), name, reference, kind, attributes, namespace=0)


def _object(identifier: Any, parent: Any, name: str, reference: int, kind: int) -> Any:
    attributes = ua.ObjectAttributes()
    attributes.DisplayName = ua.LocalizedText(name)
    attributes.EventNotifier = 0
    return _item(identifier, parent, name, reference, kind, attributes)


def _variable_attributes(name: str, value: Any) -> Any:
    attributes = ua.VariableAttributes()
    attributes.DisplayName = ua.LocalizedText(name)
    attributes.Value = value
    attributes.ValueRank = ua.ValueRank.Scalar
    attributes.ArrayDimensions = None
    attributes.AccessLevel = attributes.UserAccessLevel = ua.AccessLevel.CurrentRead.mask
    attributes.Historizing = False
    return attributes


def _item(
    identifier: Any, parent: Any, name: str, reference: int, kind: int, attributes: Any, *, namespace: int = NAMESPACE
) -> Any:
    item = ua.AddNodesItem()
    item.RequestedNewNodeId = identifier
    item.ParentNodeId = parent
    item.ReferenceTypeId = ua.NodeId(reference)
    item.BrowseName = ua.QualifiedName(name, namespace)
    item.NodeClass = ua.NodeClass.Variable if isinstance(attributes, ua.VariableAttributes) else ua.NodeClass.Object
    item.TypeDefinition = ua.NodeId(kind)
    item.NodeAttributes = attributes
    return item


def _id(name: str) -> Any:
    return ua.NodeId(name, NAMESPACE)
