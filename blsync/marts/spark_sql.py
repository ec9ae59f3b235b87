"""Our SQL, which is DuckDB's, as Spark's: by sqlglot, and by the rules that it lacks.

What sqlglot cannot translate it often lets through as it is, so that Spark refuses it, or answers
something else. Each rule here mends one such construct in the parsed statement; the tests run what
it is about on both engines, and drop it to see them part.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator

import sqlglot
from sqlglot import exp
from sqlglot.errors import UnsupportedError

Tree = exp.Expr
Columns = Callable[[str], list[str] | None]
"""Names of a view's columns; None where there is no such view."""
Files = Callable[[str, bool], str]
"""The view of the files that a call of `read_parquet` reads, with a row's place or without."""
LARGE = 6
"""Named queries that Spark would plan again, from which it takes longer than writing them down."""
FOREVER = "+99999-12-31"
"""A day after all others, where DuckDB has infinity, which Spark has not."""


def parts_of(sql: str, files: Files, prefix: str) -> list[tuple[str, Tree]]:
    """Return a query in parts, to be made one after the other, the last of them the whole.

    Spark plans what a query names anew each time it is named, and so on inside of that. What is
    named more than once and is large is a part, read by those after it as the view PREFIX_NAME;
    tables are the views SCHEMA__TABLE and those of `files`. Raises sqlglot.errors.SqlglotError
    where the query cannot be read.
    """
    tree = _on_views(sqlglot.parse_one(sql, dialect="duckdb"), files)
    found = tree.args.get("with_")
    if found is None:
        return [("", tree)]
    named = [cte.alias for cte in tree.find_all(exp.CTE)]
    weights: dict[str, int] = {}
    parts: list[tuple[str, Tree]] = []
    left: list[Tree] = []
    for cte in list(found.expressions):
        inside = [weights[t.name] for t in cte.this.find_all(exp.Table) if t.name in weights]
        weights[cte.alias] = 1 + sum(inside)
        uses = [table for table in tree.find_all(exp.Table) if table.name == cte.alias]
        is_large = weights[cte.alias] * (len(uses) - 1) >= LARGE
        if not (is_large or cte.args.get("materialized")) or named.count(cte.alias) > 1:
            left.append(cte)
            continue
        view = f"{prefix}_{cte.alias}"
        body = cte.this.copy()
        if left:
            own = body.args.get("with_")
            first = [before.copy() for before in left] + (own.expressions if own else [])
            body.set("with_", exp.With(expressions=first))
        for use in uses:
            use.set("alias", use.args.get("alias") or exp.TableAlias(this=use.this.copy()))
            use.set("this", exp.to_identifier(view))
        weights[cte.alias] = 1
        weights[view] = 1
        parts.append((view, body))
    if left:
        found.set("expressions", left)
    else:
        tree.set("with_", None)
    return [*parts, ("", tree)]


def translated(tree: Tree, columns: Columns, without: Collection[str] = ()) -> str:
    """Return a query on views as Spark's; rules whose names are in `without` are left out.

    Raises sqlglot.errors.SqlglotError for what there is no rule for.
    """
    for name, with_columns in _OF_COLUMNS.items():
        if name not in without:
            tree = with_columns(tree, columns)
    for name, rule in _OF_TREES.items():
        if name not in without:
            tree = rule(tree)
    for name, rule in _OF_NODES.items():
        if name not in without:
            tree = _rewritten(tree, rule)
    return tree.sql("spark", pretty=True)


def spark_type(kind: str) -> str:
    """Return a type as DuckDB writes it as Spark does."""
    return exp.DataType.build(kind, dialect="duckdb").transform(_wide_integer).sql("spark")


def paths_in(call: str) -> list[str]:
    """Return the paths that a call of `read_parquet` names, which are written as patterns."""
    found = sqlglot.parse_one(call, dialect="duckdb").find_all(exp.Literal)
    named = [literal.name for literal in found if literal.is_string]
    return [path.replace("[[]", "[").replace("[*]", "*") for path in named]


def _on_views(tree: Tree, files: Files) -> Tree:
    for table in list(tree.find_all(exp.Table)):
        name = table.alias_or_name
        if isinstance(table.this, exp.ReadParquet):
            select = table.find_ancestor(exp.Select)
            has_place = select is not None and any(
                column.name == "filename" for column in select.find_all(exp.Column)
            )
            view = files(table.this.sql("duckdb"), has_place)
            name = name or view
        elif table.db:
            view = f"{table.db}__{table.name}"
        else:
            continue
        read = exp.to_table(view, alias=exp.to_identifier(name))
        for part in ("joins", "laterals", "pivots"):
            read.set(part, table.args.get(part))
        table.replace(read)
    return tree


def _rewritten(tree: Tree, rule: Callable[[Tree], Tree]) -> Tree:
    """Apply a rule to each node, those inside others first."""
    for node in reversed(list(tree.walk(bfs=True))):
        new = rule(node)
        if node is tree:
            tree = new
        elif new is not node:
            node.replace(new)
    return tree


def _union_by_name(tree: Tree, columns: Columns) -> Tree:
    """Spark's SQL has no union by name: each side is put into the order of all columns."""
    while unions := [u for u in tree.find_all(exp.SetOperation) if u.args.get("by_name")]:
        union = unions[-1]
        bodies = {cte.alias: cte.this for cte in tree.find_all(exp.CTE)}
        sides = [_names_of(side, bodies, columns) for side in (union.left, union.right)]
        names = list(dict.fromkeys(sides[0] + sides[1]))
        ordered = [
            _in_order(side, own, names)
            for side, own in zip((union.left, union.right), sides, strict=True)
        ]
        whole = exp.Union(
            this=ordered[0], expression=ordered[1], distinct=union.args.get("distinct")
        )
        whole.set("with_", union.args.get("with_"))
        if union is tree:
            tree = whole
        else:
            union.replace(whole)
    return tree


def _star_with_others(tree: Tree, columns: Columns) -> Tree:
    """Spark's star can leave columns out, and not have others in their place."""
    for select in list(tree.find_all(exp.Select)):
        for star in list(select.expressions):
            if isinstance(star, exp.Star) and star.args.get("replace"):
                bodies = {cte.alias: cte.this for cte in tree.find_all(exp.CTE)}
                others = {other.alias: other for other in star.args["replace"]}
                names = _names_of(exp.select("*").from_(select.args["from_"].this), bodies, columns)
                listed = [others.get(name) or exp.column(name, quoted=True) for name in names]
                select.set("expressions", listed)
    return tree


def _star_of_a_join(tree: Tree, columns: Columns) -> Tree:
    """Spark's star begins with the columns by which tables are joined, wherever they stand."""
    for select in list(tree.find_all(exp.Select)):
        if not any(join.args.get("using") for join in select.args.get("joins") or []):
            continue
        bodies = {cte.alias: cte.this for cte in tree.find_all(exp.CTE)}
        listed: list[Tree] = []
        for star in select.expressions:
            if not star.is_star or isinstance(star, exp.Count):
                listed.append(star)
                continue
            alone = select.copy()
            alone.set("expressions", [star.copy()])
            table = star.table if isinstance(star, exp.Column) else None
            names = _names_of(alone, bodies, columns)
            listed += [exp.column(name, table, quoted=True) for name in names]
        select.set("expressions", listed)
    return tree


def _in_order(side: Tree, own: list[str], names: list[str]) -> Tree:
    if own == names:
        return side.copy()
    listed = [
        exp.column(name, quoted=True) if name in own else exp.alias_(exp.Null(), name, quoted=True)
        for name in names
    ]
    return exp.select(*listed).from_(exp.Subquery(this=side.copy(), alias=exp.to_identifier("_n")))


def _names_of(
    query: Tree, bodies: dict[str, Tree], columns: Columns, without: tuple[str, ...] = ()
) -> list[str]:
    """Return the names of a query's columns; of a star, those of what it reads."""
    if isinstance(query, exp.Subquery):
        return _names_of(query.this, bodies, columns, without)
    if isinstance(query, exp.SetOperation):
        left = _names_of(query.left, bodies, columns, without)
        if not query.args.get("by_name"):
            return left
        return list(dict.fromkeys(left + _names_of(query.right, bodies, columns, without)))
    names: list[str] = []
    for listed in query.expressions:
        star = listed.this if isinstance(listed, exp.Column) else listed
        if not isinstance(star, exp.Star):
            names.append(listed.alias_or_name)
            continue
        left_out = [e.name for e in star.args.get("except_") or []]
        read = [query.args["from_"].this, *(join.this for join in query.args.get("joins") or [])]
        if isinstance(listed, exp.Column) and listed.table:
            read = [source for source in read if source.alias_or_name == listed.table]
        for source in read:
            found: list[str] | None
            if source.alias_column_names:
                found = source.alias_column_names
            elif isinstance(source, exp.Subquery):
                found = _names_of(source, bodies, columns, without)
            elif source.name in bodies and source.name not in without:
                inside = (*without, source.name)
                found = _names_of(bodies[source.name], bodies, columns, inside)
            else:
                found = columns(source.name)
            if found is None:
                raise UnsupportedError(f"the columns of {source.alias_or_name} are not known")
            names += [name for name in found if name not in left_out and name not in names]
    return names


def _tuple_in_query(tree: Tree) -> Tree:
    """Spark takes a tuple before `in` for several columns; a struct is one on both sides.

    Structs compare as DuckDB's tuples do, with nulls in them alike.
    """
    for found in list(tree.find_all(exp.In)):
        query = found.args.get("query")
        if query is None or not isinstance(found.this, exp.Tuple):
            continue
        for select in _selects_of(query):
            [listed] = select.expressions
            value = listed.unalias().unnest()
            if isinstance(value, exp.Tuple):
                select.set("expressions", [_struct(value)])
        found.set("this", _struct(found.this))
    return tree


def _selects_of(query: Tree) -> Iterator[exp.Select]:
    query = query.this if isinstance(query, exp.Subquery) else query
    if isinstance(query, exp.SetOperation):
        yield from _selects_of(query.left)
        yield from _selects_of(query.right)
    elif isinstance(query, exp.Select):
        yield query


def _struct(values: Tree) -> Tree:
    named = [
        part
        for place, value in enumerate(values.expressions, 1)
        for part in (exp.Literal.string(f"v{place}"), value.unalias().copy())
    ]
    return exp.Anonymous(this="named_struct", expressions=named)


def _unnest_side_by_side(tree: Tree) -> Tree:
    """Unnests in one list go side by side in DuckDB; Spark has one to a list, and no positions.

    So the first list is gone through with its positions, and the others are asked by them.
    """
    for select in list(tree.find_all(exp.Select)):
        if any(_generators(select)):
            if select.args.get("group") or select.args.get("qualify"):
                whole = _with_lists_apart(select)
                tree, select = (whole if select is tree else tree), whole
            _go_through(select)
    return tree


def _generators(select: exp.Select) -> Iterator[Tree]:
    for listed in select.expressions:
        for found in listed.find_all(exp.Explode, exp.Unnest, exp.Anonymous):
            is_other = (
                isinstance(found, exp.Anonymous) and found.name.upper() != "GENERATE_SUBSCRIPTS"
            )
            if not is_other and found.find_ancestor(exp.Select) is select:
                yield found


def _list_of(generator: Tree) -> Tree:
    values: Tree = generator.this
    return values if isinstance(generator, exp.Explode) else generator.expressions[0]


def _with_lists_apart(select: exp.Select) -> exp.Select:
    """Have a query of sums make the lists, and another around it go through them."""
    outer: list[Tree] = []
    for place, listed in enumerate(select.expressions):
        found = next((g for g in _generators(select) if g in listed.find_all(type(g))), None)
        name = listed.alias_or_name if found is None or listed.alias else "unnest"
        if found is None:
            outer.append(exp.column(name, quoted=True))
            continue
        made = listed.copy().unalias()
        held = exp.column(f"_list_{place}")
        for copied in made.find_all(type(found)):
            _list_of(copied).replace(held.copy())
        outer.append(exp.alias_(made, name, quoted=True))
        select.expressions[place].replace(exp.alias_(_list_of(found).copy(), f"_list_{place}"))
    inner = select.copy()
    inner.set("with_", None)
    alias = exp.TableAlias(this=exp.to_identifier("_lists"))
    whole = exp.select(*outer).from_(exp.Subquery(this=inner, alias=alias))
    whole.set("with_", select.args.get("with_"))
    if select.parent:
        select.replace(whole)
    return whole


def _go_through(select: exp.Select) -> None:
    found = list(_generators(select))
    first = _list_of(found[0]).copy()
    values_of = [_list_of(generator).copy() for generator in found]
    for generator, values in zip(found, values_of, strict=True):
        place = exp.column("_place", "_u")
        if isinstance(generator, exp.Anonymous):
            value: Tree = exp.Add(this=place, expression=exp.Literal.number(1))
        elif values == first:
            value = exp.column("_value", "_u")
        else:
            value = exp.Anonymous(this="get", expressions=[values, place])
        if generator in select.expressions:
            value = exp.alias_(value, "unnest")
        generator.replace(value)
    own = [exp.to_identifier("_place"), exp.to_identifier("_value")]
    alias = exp.TableAlias(this=exp.to_identifier("_u"), columns=own)
    every = exp.Anonymous(this="posexplode", expressions=[first])
    select.append("laterals", exp.Lateral(this=every, view=True, outer=False, alias=alias))
    for star in select.expressions:  # which would bring what is unnested beside it
        if isinstance(star, exp.Star):
            star.set("except_", [*(star.args.get("except_") or []), *(name.copy() for name in own)])


def _qualify(tree: Tree) -> Tree:
    """What sqlglot puts in its place leaves a column more in a star."""
    for select in list(tree.find_all(exp.Select)):
        if qualify := select.args.get("qualify"):
            inner = select.copy()
            inner.set("qualify", None)
            inner.set("with_", None)
            inner = inner.select(exp.alias_(qualify.this.copy(), "_is_kept"), copy=False)
            alias = exp.TableAlias(this=exp.to_identifier("_all"))
            every = exp.Star(except_=[exp.to_identifier("_is_kept")])
            whole = exp.select(every).from_(exp.Subquery(this=inner, alias=alias)).where("_is_kept")
            whole.set("with_", select.args.get("with_"))
            if select is tree:
                tree = whole
            else:
                select.replace(whole)
    return tree


def _asof_join(tree: Tree) -> Tree:
    """The nearest row of the other side: its greatest or least that the condition lets through."""
    for join in list(tree.find_all(exp.Join)):
        if join.args.get("method") != "ASOF":
            continue
        side, condition = join.this, join.args["on"]
        name = side.alias_or_name
        [bound] = condition.find_all(exp.GT, exp.GTE, exp.LT, exp.LTE)
        is_left = bound.left.table == name
        near = bound.left if is_left else bound.right
        is_upper = isinstance(bound, exp.LT | exp.LTE) == is_left
        row = exp.Anonymous(
            this="max_by" if is_upper else "min_by",
            expressions=[exp.Anonymous(this="struct", expressions=[_all_of(name)]), near.copy()],
        )
        inner = exp.select(exp.alias_(row, "_row")).from_(side.copy()).where(condition.copy())
        if join.side != "LEFT":
            inner = inner.having("count(*) > 0")
        whole = exp.select(_all_of("_row")).from_(
            exp.Subquery(this=inner, alias=exp.TableAlias(this=exp.to_identifier("_found")))
        )
        lateral = exp.Lateral(
            this=exp.Subquery(this=whole), alias=exp.TableAlias(this=exp.to_identifier(name))
        )
        join.replace(exp.Join(this=lateral, side=join.side, kind="" if join.side else "INNER"))
    return tree


def _all_of(name: str) -> Tree:
    return exp.Column(this=exp.Star(), table=exp.to_identifier(name))


def _time_zones(tree: Tree) -> Tree:
    """An instant in UTC as a plain timestamp, and a plain one from one zone to another.

    Sessions are in UTC, so that an instant cast to a plain timestamp reads in UTC.
    """
    for outer in list(tree.find_all(exp.AtTimeZone)):
        inner = outer.this.unnest()
        if isinstance(inner, exp.AtTimeZone):
            zones = [inner.args["zone"].copy(), outer.args["zone"].copy()]
            plain = exp.cast(inner.this.copy(), "timestamp_ntz", dialect="spark")
            moved = exp.Anonymous(this="convert_timezone", expressions=[*zones, plain])
            outer.replace(moved)
    for outer in list(tree.find_all(exp.AtTimeZone)):
        if outer.args["zone"].name == "UTC":
            outer.replace(exp.cast(outer.this.copy(), "timestamp_ntz", dialect="spark"))
    return tree


def _try(tree: Tree) -> Tree:
    """Spark has no `try` of any expression, only of single operations."""
    for found in list(tree.find_all(exp.Try)):
        inside = found.this.copy().transform(_tried)
        found.replace(exp.paren(inside, copy=False))
    return tree


_TRIED: dict[type[Tree], str] = {
    exp.Mul: "try_multiply",
    exp.Add: "try_add",
    exp.Sub: "try_subtract",
}


def _tried(node: Tree) -> Tree:
    if name := _TRIED.get(type(node)):
        return exp.Anonymous(this=name, expressions=[node.this, node.expression])
    if type(node) is exp.Cast:
        return exp.TryCast(this=node.this, to=node.to)
    return node


def _wide_integer(node: Tree) -> Tree:
    if isinstance(node, exp.DataType) and node.this == exp.DType.INT128:
        return exp.DataType.build("decimal(38, 0)")
    return node


def _whole_division(node: Tree) -> Tree:
    """Spark's own gives a bigint, which is too narrow. What is divided has no decimals."""
    if not isinstance(node, exp.IntDiv):
        return node
    one, other = (exp.paren(side.unnest().copy()) for side in (node.this, node.expression))
    rest = exp.Sub(this=one, expression=exp.paren(exp.Mod(this=one.copy(), expression=other)))
    whole = exp.Div(this=exp.paren(rest), expression=other.copy(), typed=True, safe=False)
    return exp.cast(whole, "decimal(38, 0)")


def _sign(node: Tree) -> Tree:
    """Spark's is a binary fraction, and so is all that it is multiplied with."""
    if isinstance(node, exp.Sign):
        return exp.cast(node.copy(), "decimal(1, 0)")
    return node


def _format(node: Tree) -> Tree:
    """A text with `{}` in it, which may be written in several parts, and what goes there."""
    if not isinstance(node, exp.Format):
        return node
    between = "".join(part.name for part in node.this.find_all(exp.Literal)).split("{}")
    parts: list[Tree] = [exp.Literal.string(between[0])]
    for value, text in zip(node.expressions, between[1:], strict=True):
        parts += [exp.cast(value, "text"), exp.Literal.string(text)]
    return exp.Anonymous(this="concat", expressions=parts)


def _hash(node: Tree) -> Tree:
    """Spark's `hash` has 32 bits: records would be taken for others."""
    if isinstance(node, exp.Anonymous) and node.name.upper() == "HASH":
        return exp.Anonymous(this="xxhash64", expressions=node.expressions)
    return node


def _infinity(node: Tree) -> Tree:
    if isinstance(node, exp.Literal) and node.is_string and node.name == "infinity":
        return exp.Literal.string(FOREVER)
    return node


def _months(node: Tree) -> Tree:
    added = node.args.get("expression") if isinstance(node, exp.Add) else None
    if isinstance(added, exp.Anonymous) and added.name.upper() == "TO_MONTHS":
        return exp.Anonymous(this="add_months", expressions=[node.this, added.expressions[0]])
    return node


def _series(node: Tree) -> Tree:
    """Spark's sequence goes backwards where the end is before the start, and has the end in it."""
    if not isinstance(node, exp.GenerateSeries):
        return node
    start, end = node.args["start"], node.args["end"]
    step = node.args.get("step") or exp.Literal.number(1)
    last = (
        exp.Sub(this=end.copy(), expression=step.copy())
        if node.args.get("is_end_exclusive")
        else end
    )
    series = exp.Anonymous(this="sequence", expressions=[start.copy(), last.copy(), step.copy()])
    is_any = exp.LTE(this=start.copy(), expression=last.copy())
    return exp.Anonymous(this="if", expressions=[is_any, series, exp.Array(expressions=[])])


def _materialized(node: Tree) -> Tree:
    if isinstance(node, exp.CTE):
        node.set("materialized", None)
    return node


def _any_value(node: Tree) -> Tree:
    """Spark's takes no order, nor a filter beside the word that it is to skip nulls."""
    if not isinstance(node, exp.IgnoreNulls) or not isinstance(node.this, exp.AnyValue):
        return node
    value = node.this.this
    if isinstance(value, exp.Order):
        if any(key.args.get("desc") for key in value.expressions):
            raise UnsupportedError("any_value in a descending order")
        keys = [key.this for key in value.expressions]
        ordered = [
            part for key in keys for part in (exp.Is(this=key.copy(), expression=exp.Null()), key)
        ]
        return _of_those_there(
            "min_by", value.this, [_struct(exp.Tuple(expressions=ordered))], node
        )
    return _of_those_there("any_value", value, [], node)


def _arg_max(node: Tree) -> Tree:
    """DuckDB's skip rows without a value."""
    if isinstance(node, exp.ArgMax | exp.ArgMin):
        name = "max_by" if isinstance(node, exp.ArgMax) else "min_by"
        return _of_those_there(name, node.this, [node.expression], node)
    return node


def _of_those_there(name: str, value: Tree, more: list[Tree], node: Tree) -> Tree:
    there = exp.Not(this=exp.Is(this=value.copy(), expression=exp.Null()))
    made = exp.Anonymous(this=name, expressions=[value, *more])
    if isinstance(node.parent, exp.Filter):
        where = node.parent.expression
        where.set("this", exp.and_(where.this.copy(), there))
        return made
    return exp.Filter(this=made, expression=exp.Where(this=there))


def _json(node: Tree) -> Tree:
    """A text that is no JSON is none, and a value of it is looked for as a text."""
    if isinstance(node, exp.TryCast) and node.to.this == exp.DType.JSON:
        return exp.Anonymous(this="try_parse_json", expressions=[node.this])
    if isinstance(node, exp.JSONExtractScalar):
        path = exp.Literal.string(node.expression.sql("duckdb").strip("'"))
        text = exp.Literal.string("string")
        return exp.Anonymous(this="try_variant_get", expressions=[node.this, path, text])
    return node


def _names_of_days(node: Tree) -> Tree:
    """Spark's are short ones."""
    if isinstance(node, exp.Monthname | exp.Dayname):
        pattern = exp.Literal.string("MMMM" if isinstance(node, exp.Monthname) else "EEEE")
        return exp.Anonymous(this="date_format", expressions=[node.this, pattern])
    return node


def _day_of_week(node: Tree) -> Tree:
    if isinstance(node, exp.Extract) and node.name.upper() == "ISODOW":
        node.set("this", exp.var("DAYOFWEEK_ISO"))
    return node


def _lists(node: Tree) -> Tree:
    """Functions of lists that have another name."""
    if not isinstance(node, exp.Anonymous):
        return node
    name, given = node.name.lower(), node.expressions
    if name == "list_aggregate" and given[1].name == "string_agg":
        return exp.Anonymous(this="array_join", expressions=[given[0], given[2]])
    if name == "list_position":
        return exp.Anonymous(this="array_position", expressions=given)
    return node


def _full_match(node: Tree) -> Tree:
    if isinstance(node, exp.RegexpFullMatch):
        whole = exp.Literal.string(f"^(?:{node.expression.name})$")
        return exp.RegexpLike(this=node.this, expression=whole)
    return node


_OF_COLUMNS: dict[str, Callable[[Tree, Columns], Tree]] = {
    "union by name": _union_by_name,
    "star with others": _star_with_others,
    "star of a join": _star_of_a_join,
}
_OF_TREES: dict[str, Callable[[Tree], Tree]] = {
    "tuple in query": _tuple_in_query,
    "asof join": _asof_join,
    "time zones": _time_zones,
    "try": _try,
    "unnest side by side": _unnest_side_by_side,
    "qualify": _qualify,
}
_OF_NODES: dict[str, Callable[[Tree], Tree]] = {
    "wide integers": _wide_integer,
    "whole division": _whole_division,
    "sign": _sign,
    "format": _format,
    "hash": _hash,
    "infinity": _infinity,
    "months": _months,
    "series": _series,
    "materialized": _materialized,
    "any value": _any_value,
    "arg max": _arg_max,
    "json": _json,
    "day of week": _day_of_week,
    "names of days": _names_of_days,
    "lists": _lists,
    "full match": _full_match,
}
RULES = (*_OF_COLUMNS, *_OF_TREES, *_OF_NODES)
