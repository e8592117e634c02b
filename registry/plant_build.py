"""Brings the entries of a plant file together: classes, gateways, connections and devices become a `Plant`.

Enters: a `PlantFile` whose entries are right each for itself. Leaves: the `Plant`; into `Problems` everything that does not fit together,
and what is allowed and unwise. A device with a problem is left out of the plant, which nobody then uses.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import NamedTuple

from pydantic import ValidationError

from connectors.catalogue import PROTOCOLS
from registry import calculated
from registry.plant import PERIODS_PER_WINDOW, ConnectionSpec, DeviceSpec, GatewaySpec, Plant, TagSpec
from registry.plant_address import pattern
from registry.plant_model import Cell, Device, DeviceClass, PlantFile, Tag
from registry.plant_problems import Problems, describe
from schemas.ucum import is_ucum
from schemas.units import to_ucum

_NO_BOUNDS = (None, None)
_REQUIRED = frozenset(name for name, one in Tag.model_fields.items() if one.is_required())


class _CellPlace(NamedTuple):
    """A cell, its place in the file and its path in the plant."""

    where: str
    site: str
    path: str
    cell: Cell


class _Connection(NamedTuple):
    """A connection, its place in the file and its pattern of addresses."""

    spec: ConnectionSpec
    where: str
    address: str


def build(file: PlantFile, problems: Problems) -> Plant:
    """The plant of a file."""
    return _Build(file, problems).plant()


class _Build:
    def __init__(self, file: PlantFile, problems: Problems) -> None:
        self._file, self._problems = file, problems
        self._gateways: dict[str, GatewaySpec] = {}
        self._connections: dict[tuple[str, str], _Connection] = {}
        self._classes: dict[str, dict[str, TagSpec]] = {}
        self._told: set[tuple[str, str, bool]] = set()
        self._used: set[tuple[str, ...]] = set()

    def plant(self) -> Plant:
        file = self._file
        self._take_gateways()
        for name, given in file.device_classes.items():
            where = f"device_classes.{name}.tags"
            tags = {tag: self._tag(f"{where}.{tag}", tag, spec) for tag, spec in given.tags.items()}
            self._classes[name] = {tag: spec for tag, spec in tags.items() if spec is not None}
            calculated.check(self._classes[name].values(), self._problems)
        cells = list(_cells(file))
        made = (
            self._device(device, place, f"{place.where}.devices[{index}]")
            for place in cells
            for index, device in enumerate(place.cell.devices)
        )
        devices = tuple(device for device in made if device is not None)
        self._refuse_second_owner(devices)
        self._refuse_shared_address(devices)
        self._refuse_twice("cell", ((place.path, place.where) for place in cells))
        self._refuse_twice("site", ((site.name, f"sites[{s}]") for s, site in enumerate(file.sites)))
        self._warn_of_unused()
        return Plant(
            enterprise=file.enterprise,
            sites=tuple(site.name for site in file.sites),
            gateways=tuple(self._gateways.values()),
            cells=tuple(place.path for place in cells),
            devices=devices,
        )

    # --- gateways, classes ---------------------------------------------------------------------------------------------

    def _take_gateways(self) -> None:
        for s, site in enumerate(self._file.sites):
            for g, gateway in enumerate(site.gateways):
                where = f"sites[{s}].gateways[{g}]"
                if gateway.id in self._gateways:
                    self._problems.refuse(where, "id", f"gateway {gateway.id} is defined twice")
                    continue
                specs = []
                for c, connection in enumerate(gateway.connections):
                    place = f"{where}.connections[{c}]"
                    if (gateway.id, connection.name) in self._connections:
                        self._problems.refuse(place, "name", f"connection {connection.name} is defined twice")
                        continue
                    specs.append(connection.spec())
                    self._connections[gateway.id, connection.name] = _Connection(specs[-1], place, connection.address)
                self._gateways[gateway.id] = GatewaySpec(
                    id=gateway.id,
                    site=site.name,
                    lanes=gateway.lanes,
                    connections=tuple(specs),
                    uplink=gateway.uplink,
                )

    def _tag(self, where: str, name: str, tag: Tag) -> TagSpec | None:
        if not self._known(where, "tag_class", tag.tag_class, self._file.tag_classes):
            return None
        self._used.add(("tag_classes", tag.tag_class))
        windows = tuple(self._file.tag_classes[tag.tag_class].windows_s)
        if windows[0] * 1000 < PERIODS_PER_WINDOW * tag.period_ms:
            longest_ms = windows[0] * 1000 // PERIODS_PER_WINDOW
            text = f"period_ms is {tag.period_ms}, but windows of {windows[0]} s (tag class {tag.tag_class}) need {longest_ms} or less"
            self._problems.refuse(where, "period_ms", text)
        self._warn_of_tag(where, tag)
        calculated.check_keys(where, tag, self._problems)
        (eu_low, eu_high), (limit_low, limit_high) = tag.eu or _NO_BOUNDS, tag.limits or _NO_BOUNDS
        return TagSpec(
            name=name,
            tag_class=tag.tag_class,
            description=tag.description,
            data_type=tag.data_type,
            unit=tag.unit,
            eu_low=eu_low,
            eu_high=eu_high,
            limit_low=limit_low,
            limit_high=limit_high,
            max_rate=tag.max_rate,
            stuck_after_s=tag.stuck_after_s,
            period_ms=tag.period_ms,
            deadband=tag.deadband,
            deadband_percent=tag.deadband_percent,
            swinging_door=tag.swinging_door,
            max_silence_s=tag.max_silence_s,
            sampling_ms=tag.sampling_ms,
            windows_s=windows,
            historise=tag.historise,
            writable=tag.writable,
            expression=tag.expression,
            simulate=tag.simulate or {},
            where=where,
        )

    def _warn_of_tag(self, where: str, tag: Tag) -> None:
        if not is_ucum(tag.unit):
            known = to_ucum(tag.unit)
            self._problems.warn(
                where, "unit", f"unit {tag.unit!r} is no UCUM code{f'; write {known!r}' if known else ''}"
            )
        if tag.writable and None in (tag.limits or _NO_BOUNDS):
            self._problems.warn(where, "writable", "writable without both limits: a command may write any value")
        if tag.stuck_after_s is not None and tag.stuck_after_s * 1000 < PERIODS_PER_WINDOW * tag.period_ms:
            text = f"stuck_after_s is {tag.stuck_after_s:g}, fewer than {PERIODS_PER_WINDOW} periods: a value may stay the same that long"
            self._problems.warn(where, "stuck_after_s", text)

    # --- devices -------------------------------------------------------------------------------------------------------

    def _device(self, device: Device, at: _CellPlace, where: str) -> DeviceSpec | None:
        classes = self._file.device_classes
        known = self._known(where, "class", device.device_class, classes)
        if not self._known(where, "gateway", device.gateway, self._gateways) or not known:
            return None
        gateway, given = self._gateways[device.gateway], classes[device.device_class]
        self._used |= {("device_classes", device.device_class), ("gateways", gateway.id)}
        if gateway.site != at.site:
            text = f"gateway {gateway.id} stands at site {gateway.site}, the device at {at.site}"
            self._problems.refuse(where, "gateway", text)
        if device.lane is not None and not 0 <= device.lane < gateway.lanes:
            text = f"lane is {device.lane}, but {gateway.id} has lanes 0 to {gateway.lanes - 1}"
            self._problems.refuse(where, "lane", text)
        names = [one.name for one in gateway.connections]
        if not self._known(where, "connection", device.connection, names):
            return None
        connection = self._connections[gateway.id, device.connection]
        self._used.add(("connections", gateway.id, device.connection))
        said = self._said(device, where, given)
        return DeviceSpec(
            name=device.name,
            site=at.site,
            cell_path=at.path,
            device_class=device.device_class,
            detector=given.detector if device.detector is None else device.detector,
            planned_run_time_s=(
                device if "planned_run_time_s" in device.model_fields_set else given
            ).planned_run_time_s,
            gateway_id=gateway.id,
            lane=device.lane,
            connection=connection.spec.name,
            protocol=connection.spec.protocol,
            simulated=connection.spec.simulated,
            tags=self._tags_of(device, where, said),
            addresses=self._addresses(device, at, where, {**said, **given.tags}, connection),
            where=where,
        )

    def _tags_of(self, device: Device, where: str, said: Mapping[str, Tag]) -> tuple[TagSpec, ...]:
        """The class's tags, with what the device says differently and what it has beside them."""
        own = dict(self._classes[device.device_class])
        for name, tag in said.items():
            spec = self._tag(f"{where}.tags.{name}", name, tag)
            if spec is not None:
                own[name] = spec
        if said:
            calculated.check(own.values(), self._problems, where=where)
        return tuple(own.values())

    def _said(self, device: Device, where: str, given: DeviceClass) -> dict[str, Tag]:
        """What the device says of tags, by name; a tag that its class does not have is defined whole."""
        found = {}
        for name, changes in device.tags.items():
            known = given.tags.get(name)
            if known is None and not changes.keys() >= _REQUIRED:
                self._strange(where, "tags", name, device)
                continue
            of_class = known.model_dump(mode="json", exclude_unset=True, by_alias=True) if known else {}
            try:
                found[name] = Tag.model_validate({**of_class, **changes})
            except ValidationError as error:
                for problem in describe(error, Tag):
                    self._problems.refuse(f"{where}.tags.{name}", problem.key, problem.text)
        return found

    def _addresses(
        self, device: Device, at: _CellPlace, where: str, tags: Mapping[str, Tag], connection: _Connection
    ) -> Mapping[str, str]:
        given = self._file.device_classes[device.device_class]
        for name in device.addresses:
            if name not in tags:
                self._strange(where, "addresses", name, device)
            elif tags[name].expression:
                text = f"addresses names {name!r}, which is calculated: no machine has it"
                self._problems.refuse(where, f"addresses.{name}", text)
        _, _, area, line, cell = at.path.split("/")
        places = {"site": at.site, "area": area, "line": line, "cell": cell, "device": device.name}
        class_where = f"device_classes.{device.device_class}"
        found = {}
        for name, tag in tags.items():
            if tag.expression:
                continue
            own = device.addresses.get(name)
            if own is not None:
                address, source, key = own, where, f"addresses.{name}"
            elif tag.address:
                of = class_where if name in given.tags else where
                address, source, key = tag.address, f"{of}.tags.{name}", "address"
            elif given.address:
                address, source, key = given.address, class_where, "address"
            elif connection.address:
                address, source, key = connection.address, connection.where, "address"
            else:
                text = f"tag {name} has no address: give the tag, its class or the connection an address pattern, or the device addresses"
                self._problems.refuse(where, "", text)
                continue
            protocol = PROTOCOLS[connection.spec.protocol]
            about = f"address of tag {name}" + ("" if source == where else f" of device {device.name}")
            try:
                found[name] = address if own is not None else pattern(address).fill({**places, "tag": name})
                protocol.check_address(found[name])
            except ValueError as error:
                self._once(source, key, f"{about}: {error}")
                continue
            if warning := protocol.warn_address(found[name]):
                self._once(source, key, f"{about}: {warning}", warning=True)
        return found

    # --- the whole -----------------------------------------------------------------------------------------------------

    def _refuse_second_owner(self, devices: tuple[DeviceSpec, ...]) -> None:
        """A machine that is named twice would have two owners, and its samples two sources."""
        seen: dict[tuple[str, str], DeviceSpec] = {}
        for device in devices:
            other = seen.setdefault((device.site, device.name), device)
            if other is device:
                continue
            owners = " and ".join(dict.fromkeys((other.gateway_id, device.gateway_id)))
            text = f"device {device.name} of site {device.site} is already at {other.where} (owners: {owners}); one gateway owns a device"
            self._problems.refuse(device.where, "name", text)

    def _refuse_shared_address(self, devices: tuple[DeviceSpec, ...]) -> None:
        """Two tags of one gateway with one address: nobody could tell whose sample it is."""
        seen: dict[tuple[str, str, str], str] = {}
        for device in devices:
            for tag, address in device.addresses.items():
                name = f"{device.name}/{tag}"
                other = seen.setdefault((device.gateway_id, device.connection, address), name)
                if other != name:
                    text = f"tag {tag} has the address {address[:200]} of {other}; each tag needs its own"
                    self._problems.refuse(device.where, "", text)

    def _refuse_twice(self, what: str, names: Iterable[tuple[str, str]]) -> None:
        seen: set[str] = set()
        for name, where in names:
            if name in seen:
                self._problems.refuse(where, "name", f"{what} {name} is defined twice")
            seen.add(name)

    def _warn_of_unused(self) -> None:
        file = self._file
        for table in ("tag_classes", "device_classes"):
            for name in getattr(file, table):
                if (table, name) not in self._used:
                    self._problems.warn(table, name, f"{name} is used by nothing")
        for (gateway, name), connection in self._connections.items():
            if ("connections", gateway, name) not in self._used:
                self._problems.warn(connection.where, "name", f"no device is on connection {name}")

    def _known(self, where: str, key: str, value: str, known: Collection[str]) -> bool:
        if value not in known:
            if value not in self._problems.broken:
                names = list(known)
                shown = ", ".join(names[:30]) + (", ..." if len(names) > 30 else "")
                self._problems.refuse(where, key, f"{key} is {value!r}; known: {shown or 'none'}")
            return False
        return True

    def _strange(self, where: str, key: str, name: str, device: Device) -> None:
        if name not in self._problems.broken:
            self._problems.refuse(where, key, f"{key} names {name!r}, which is no tag of class {device.device_class}")

    def _once(self, where: str, key: str, text: str, *, warning: bool = False) -> None:
        """A pattern is wrong in one place, whatever number of tags it is filled in for."""
        if (where, key, warning) not in self._told:
            self._told.add((where, key, warning))
            (self._problems.warn if warning else self._problems.refuse)(where, key, text)


def _cells(file: PlantFile) -> Iterator[_CellPlace]:
    for s, site in enumerate(file.sites):
        for a, area in enumerate(site.areas):
            for l, line in enumerate(area.lines):  # noqa: E741 - as in the place
                for c, cell in enumerate(line.cells):
                    where = f"sites[{s}].areas[{a}].lines[{l}].cells[{c}]"
                    path = "/".join((file.enterprise, site.name, area.name, line.name, cell.name))
                    yield _CellPlace(where, site.name, path, cell)
