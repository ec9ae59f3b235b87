{# Lines of orders through time, each with what documents have taken of it: bills of a purchase order,
   invoices of a sales order. Documents name the order and the item, never the line, so the lines of an
   item fill in their order up to the ordered quantity, and the last one takes what is left.

   Stands after two CTEs of the caller, and ends in the CTE `filled`:
   ordered_lines: company_id, order_id, line_no, item_key, ordered, known_from, known_to, and more
   taken:         company_id, order_id, item_key, quantity, known_from, known_to #}
{% macro filled_lines() -%}
instants as (
    select company_id, order_id, known_from as instant from ordered_lines
    union
    select company_id, order_id, known_to from ordered_lines where known_to is not null
    union
    select company_id, order_id, known_from from taken
    union
    select company_id, order_id, known_to from taken where known_to is not null
),

moments as (
    select
        *,
        lead(instant) over (partition by company_id, order_id order by instant) as next_instant,
    from instants
),

lines_then as (
    select
        lines.* exclude (known_from, known_to),
        moments.instant as known_from,
        moments.next_instant as known_to,
    from moments
    inner join ordered_lines as lines
        on lines.company_id = moments.company_id
        and lines.order_id = moments.order_id
        and lines.known_from <= moments.instant
        and coalesce(lines.known_to > moments.instant, true)
),

taken_then as (
    select
        moments.company_id,
        moments.order_id,
        moments.instant as known_from,
        taken.item_key,
        sum(taken.quantity) as quantity,
    from moments
    inner join taken
        on taken.company_id = moments.company_id
        and taken.order_id = moments.order_id
        and taken.known_from <= moments.instant
        and coalesce(taken.known_to > moments.instant, true)
    group by moments.company_id, moments.order_id, moments.instant, taken.item_key
),

queued as (
    select
        lines_then.*,
        coalesce(taken_then.quantity, 0) as taken_of_item,
        coalesce(sum(lines_then.ordered) over (
            partition by lines_then.company_id, lines_then.order_id, lines_then.known_from, lines_then.item_key
            order by lines_then.line_no
            rows between unbounded preceding and 1 preceding
        ), 0) as ordered_before,
        lead(lines_then.line_no) over (
            partition by lines_then.company_id, lines_then.order_id, lines_then.known_from, lines_then.item_key
            order by lines_then.line_no
        ) is null as is_last_of_item,
    from lines_then
    left join taken_then using (company_id, order_id, known_from, item_key)
),

filled as (
    select
        * exclude (taken_of_item, ordered_before, is_last_of_item),
        {{ sum_of_quantity('case
            when is_last_of_item then greatest(taken_of_item - ordered_before, 0)
            else least(greatest(taken_of_item - ordered_before, 0), ordered)
        end') }} as taken,
    from queued
)
{%- endmacro %}

{# Where documents name no item, those lines are of one item, that without a name. #}
{% macro item_key(item_id) -%} coalesce({{ item_id }}, '') {%- endmacro %}

{# Whether a purchase order is one: drafts are none yet. #}
{% macro is_ordered(status) -%} coalesce({{ status }}, '') <> 'draft' {%- endmacro %}

{# Whether goods are still to come on an order. #}
{% macro is_awaited(status) -%} coalesce({{ status }} in ('sent', 'confirmed', 'partially_received'), false) {%- endmacro %}

{# Whether a sales order is in the backlog: agreed with the customer, and not given up. #}
{% macro is_in_backlog(status) -%} coalesce({{ status }} in ('confirmed', 'shipped', 'delivered'), false) {%- endmacro %}

{# Whether a bill counts: neither a draft nor taken back. #}
{% macro is_billed(status) -%} coalesce({{ status }}, '') not in ('draft', 'void', 'voided', 'cancelled') {%- endmacro %}
