"""The layered layout of a directed acyclic graph (Sugiyama, Tagawa and Toda, 1981), as shapes of an SVG.

Each node is one layer below the lowest of its predecessors. An edge over several layers passes a point in
each. The order within the layers is that of the barycenters of the neighbors, which leaves few crossings.
"""

from __future__ import annotations

import dataclasses
import itertools

import msgspec

from bitext.components.artifacts.page import Graph, GraphNode
from bitext.components.shared.display import printable

WIDTH, HEIGHT = 172, 44
"""Size of a node, in pixels."""
_POINT_WIDTH = 14
_GAP_X, _GAP_Y = 18, 30
_MARGIN = 8
_SWEEPS = 12
_CHARACTERS = 24


class Shape(msgspec.Struct, frozen=True):
    """A node with its place.

    Attributes:
      node: the node.
      x: its left edge.
      y: its upper edge.
      label: its label, cut to the node's width.
      detail: its detail, cut to the node's width.
      full: label and detail in full.
    """

    node: GraphNode
    x: int
    y: int
    label: str
    detail: str
    full: str


class Curve(msgspec.Struct, frozen=True):
    """An edge.

    Attributes:
      start: index of the node that it leaves.
      end: index of the node that it leads to.
      path: its course, as the attribute `d` of an SVG path.
    """

    start: int
    end: int
    path: str


class Drawing(msgspec.Struct, frozen=True):
    """A graph with its layout.

    Attributes:
      width: width in pixels.
      height: height in pixels.
      shapes: the nodes.
      curves: the edges.
    """

    width: int
    height: int
    shapes: tuple[Shape, ...]
    curves: tuple[Curve, ...]


@dataclasses.dataclass
class _Vertex:
    """A node, or a point of an edge.

    Attributes:
      layer: number of its layer from the top.
      width: its width.
      above: the vertices of the layer above that it is connected with.
      below: the vertices of the layer below that it is connected with.
      x: its center.
    """

    layer: int
    width: int
    above: list[_Vertex] = dataclasses.field(default_factory=list)
    below: list[_Vertex] = dataclasses.field(default_factory=list)
    x: float = 0.0


def layout(graph: Graph) -> Drawing:
    """Returns the drawing of a graph. Edges of unknown nodes, and edges to earlier nodes, are left out."""
    index = {node.id: number for number, node in enumerate(graph.nodes)}
    known = ((index[a], index[b]) for a, b in graph.edges if a in index and b in index)
    edges = list(dict.fromkeys((a, b) for a, b in known if a < b))
    ranks = _ranks(len(graph.nodes), edges)
    vertices = [_Vertex(rank, WIDTH) for rank in ranks]
    chains = [_chain(vertices[a], vertices[b]) for a, b in edges]
    layers = _layers(vertices, chains)
    _order(layers)
    _place(layers)
    left = min((v.x - v.width / 2 for layer in layers for v in layer), default=0) - _MARGIN
    right = max((v.x + v.width / 2 for layer in layers for v in layer), default=0) + _MARGIN
    for layer in layers:
        for vertex in layer:
            vertex.x -= left
    return Drawing(
        width=round(right - left),
        height=len(layers) * (HEIGHT + _GAP_Y) - _GAP_Y + 2 * _MARGIN if layers else 0,
        shapes=tuple(_shape(node, vertex) for node, vertex in zip(graph.nodes, vertices, strict=True)),
        curves=tuple(Curve(a, b, _path(chain)) for (a, b), chain in zip(edges, chains, strict=True)),
    )


def _ranks(count: int, edges: list[tuple[int, int]]) -> list[int]:
    """Returns the layer of each node. A node without predecessors is directly above its first successor."""
    ranks = [0] * count
    for a, b in sorted(edges, key=lambda edge: edge[1]):
        ranks[b] = max(ranks[b], ranks[a] + 1)
    entered = {b for _, b in edges}
    for node in set(range(count)) - entered:
        ranks[node] = max(0, min((ranks[b] for a, b in edges if a == node), default=1) - 1)
    return ranks


def _chain(start: _Vertex, end: _Vertex) -> list[_Vertex]:
    """Connects two vertices by a point in each layer between them, and returns all of them."""
    points = [_Vertex(layer, _POINT_WIDTH) for layer in range(start.layer + 1, end.layer)]
    chain = [start, *points, end]
    for upper, lower in itertools.pairwise(chain):
        upper.below.append(lower)
        lower.above.append(upper)
    return chain


def _layers(vertices: list[_Vertex], chains: list[list[_Vertex]]) -> list[list[_Vertex]]:
    every = [*vertices, *(point for chain in chains for point in chain[1:-1])]
    layers: list[list[_Vertex]] = [[] for _ in range(max((v.layer for v in every), default=-1) + 1)]
    for vertex in every:
        layers[vertex.layer].append(vertex)
    return layers


def _order(layers: list[list[_Vertex]]) -> None:
    """Sorts each layer by the mean position of the neighbors, downward and upward in turn."""
    best, fewest = [list(layer) for layer in layers], _crossings(layers)
    for sweep in range(_SWEEPS):
        down = sweep % 2 == 0
        for layer in layers if down else reversed(layers):
            neighbors = [vertex.above if down else vertex.below for vertex in layer]
            position = {id(v): number for one in layers for number, v in enumerate(one)}
            keys = {
                id(vertex): sum(position[id(n)] for n in near) / len(near) if near else position[id(vertex)]
                for vertex, near in zip(layer, neighbors, strict=True)
            }
            layer.sort(key=lambda vertex: keys[id(vertex)])
        crossings = _crossings(layers)
        if crossings < fewest:
            best, fewest = [list(layer) for layer in layers], crossings
    for layer, order in zip(layers, best, strict=True):
        layer[:] = order


def _crossings(layers: list[list[_Vertex]]) -> int:
    """Returns the number of pairs of edges between neighboring layers that cross."""
    count = 0
    for upper, lower in itertools.pairwise(layers):
        position = {id(vertex): number for number, vertex in enumerate(lower)}
        ends = [number for v in upper for number in sorted(position[id(n)] for n in v.below)]
        count += sum(a > b for number, a in enumerate(ends) for b in ends[number + 1 :])
    return count


def _place(layers: list[list[_Vertex]]) -> None:
    """Moves each vertex towards the mean of its neighbors as far as those beside it allow."""
    for layer in layers:
        _spread(layer, [0.0] * len(layer))
    for sweep in range(4 * _SWEEPS):
        down = sweep % 2 == 0
        for layer in layers if down else reversed(layers):
            wished = []
            for vertex in layer:
                near = (vertex.above if down else vertex.below) or [vertex]
                wished.append(sum(n.x for n in near) / len(near))
            _spread(layer, wished)


def _spread(layer: list[_Vertex], wished: list[float]) -> None:
    """Gives the vertices of a layer the places closest to those wished (least squares) without overlap.

    Vertices that would overlap form a block, which lies at the mean of what its members wish.
    """
    offsets, offset = [], 0.0
    for number, vertex in enumerate(layer):
        if number:
            offset += (layer[number - 1].width + vertex.width) / 2 + _GAP_X
        offsets.append(offset)
    blocks: list[tuple[float, int]] = []  # mean and number of members
    for target, shift in zip(wished, offsets, strict=True):
        mean, size = target - shift, 1
        while blocks and blocks[-1][0] > mean:
            other, members = blocks.pop()
            mean, size = (mean * size + other * members) / (size + members), size + members
        blocks.append((mean, size))
    means = [mean for mean, size in blocks for _ in range(size)]
    for vertex, mean, shift in zip(layer, means, offsets, strict=True):
        vertex.x = mean + shift


def _top(vertex: _Vertex) -> int:
    return _MARGIN + vertex.layer * (HEIGHT + _GAP_Y)


def _path(chain: list[_Vertex]) -> str:
    """Returns a curve from the lower edge of the first vertex to the upper edge of the last."""
    parts = [f"M{chain[0].x:.0f} {_top(chain[0]) + HEIGHT}"]
    for upper, lower in itertools.pairwise(chain):
        y0, y1 = _top(upper) + HEIGHT, _top(lower)
        middle = (y0 + y1) / 2
        parts.append(f"C{upper.x:.0f} {middle:.0f} {lower.x:.0f} {middle:.0f} {lower.x:.0f} {y1}")
        if lower is not chain[-1]:
            parts.append(f"V{y1 + HEIGHT}")
    return "".join(parts)


def _shape(node: GraphNode, vertex: _Vertex) -> Shape:
    label, detail = printable(node.label), printable(node.detail)
    return Shape(
        node=node,
        x=round(vertex.x - WIDTH / 2),
        y=_top(vertex),
        label=_cut(label, _CHARACTERS - 3),
        detail=_cut(detail, _CHARACTERS),
        full=f"{label}: {detail}" if detail else label,
    )


def _cut(text: str, characters: int) -> str:
    text = " ".join(text.split())
    if len(text) <= characters:
        return text
    head = (characters - 1) // 2
    return f"{text[:head]}…{text[-(characters - 1 - head) :]}"
