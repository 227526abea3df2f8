"""The picture of a graph: `layout` (places), `scene` (shapes), `draw` (SVG and PNG), `palette`, `lettering` (fonts)."""
