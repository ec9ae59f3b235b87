-- What changed after a figure may have been told, and by how much that explains a difference: figure by
-- figure, and never more. Of ledger reports exactly the differences that the latest entries make; of
-- records that are seen with gaps between, the most that they may have been apart.
with

-- What says that it changed after the build began, but for clocks that differ a little, is mistaken.
reports as (
    select
        reports.*,
        companies.built_at + interval 5 minutes as latest_at,
    from {{ ref('int_reports_fetched') }} as reports
    inner join {{ ref('stg_companies') }} as companies using (company_id)
),

entries as (
    select
        company_id,
        journal_id,
        journal_date,
        greatest(created_at, coalesce(posted_at, created_at)) as changed_at,
    from {{ ref('stg_journal_entries') }}
    where is_counted
),

late_entries as (
    select
        reports.company_id,
        reports.report,
        reports.as_of_date,
        reports.period_from,
        entries.journal_id,
        entries.changed_at,
    from reports
    inner join entries
        on entries.company_id = reports.company_id
        and entries.changed_at > reports.oldest_at
        and entries.changed_at <= reports.latest_at
        and entries.journal_date <= reports.as_of_date
        and (reports.period_from is null or entries.journal_date >= reports.period_from)
    where reports.report in ('trial_balance', 'balance_sheet', 'profit_loss')
    union all
    -- What opened a period of cash is moved by entries before it, too.
    select
        reports.company_id,
        reports.report,
        reports.as_of_date,
        reports.period_from,
        entries.journal_id,
        entries.changed_at,
    from reports
    inner join entries
        on entries.company_id = reports.company_id
        and entries.changed_at > reports.oldest_at
        and entries.changed_at <= reports.latest_at
        and entries.journal_date <= reports.as_of_date
    where reports.report = 'cash_flow'
),

late_lines as (
    select
        late_entries.*,
        lines.account_id,
        lines.amount,
        accounts.section,
        accounts.statement = 'profit_and_loss' as is_profit,
        coalesce(accounts.account_role = 'cash', false) as is_cash,
        closings.journal_id is not null as is_closing,
        coalesce(totals.is_other_revenue_in_gross_profit, false) as is_other_revenue_in_gross_profit,
    from late_entries
    inner join {{ ref('stg_journal_lines') }} as lines using (company_id, journal_id)
    left join {{ ref('accounts') }} as accounts using (company_id, account_id)
    left join {{ ref('int_closing_entries') }} as closings using (company_id, journal_id)
    left join {{ ref('int_statement_totals') }} as totals
        on totals.company_id = late_entries.company_id
        and totals.report = late_entries.report
        and totals.as_of_date = late_entries.as_of_date
        and totals.period_from is not distinct from late_entries.period_from
),

-- In which figures of its report a line shows. A trial balance is compared debit-positive, because a
-- late entry may move an account from one column into the other; statements with their own signs.
shown as (
    select
        *,
        case report
            when 'trial_balance' then [account_id]
            when 'cash_flow' then ['cash']
            when 'balance_sheet' then [case when is_profit then 'equity' else section end]
            when 'profit_loss' then list_filter(
                [
                    section,
                    'net_profit',
                    case
                        when section in ('operating_revenue', 'cost_of_goods_sold')
                            or (section = 'other_revenue' and is_other_revenue_in_gross_profit)
                            then 'gross_profit'
                    end,
                ],
                lambda each: each is not null
            )
        end as entity_keys,
    from late_lines
    where
        case report
            when 'profit_loss' then is_profit and not is_closing
            when 'cash_flow' then is_cash
            else true
        end
),

moves as (
    select
        * exclude (entity_keys, amount),
        amount as debit,
        unnest(entity_keys) as entity_key,
    from shown
),

signed as (
    select
        *,
        case
            when report in ('trial_balance', 'cash_flow')
                or entity_key in ('assets', 'cost_of_goods_sold', 'operating_expense', 'other_expense')
                then debit
            else -debit
        end as amount,
    from moves
),

-- A report made between two entries lacks the later one and all after it, so each running sum
-- from the end is a difference that lateness explains, and no other difference is.
ledger_figures as (
    select distinct
        company_id,
        report,
        as_of_date,
        period_from,
        entity_key,
        case report
            when 'balance_sheet' then 'balance'
            when 'profit_loss' then 'amount'
        end as measure,
        sum(amount) over from_the_end as lowest,
        sum(amount) over from_the_end as highest,
    from signed
    window from_the_end as (
        partition by company_id, report, as_of_date, period_from, entity_key
        order by changed_at desc
    )
),

-- Of a document that changed, anything between nothing and the most that any version of it bills may
-- have been due, in any bucket and to or from any party that it ever named.
{%- for report, documents, versions, document_id, party_id, nobody, open_items, total in [
    ('aged_receivables', 'stg_invoices', 'int_invoice_versions', 'invoice_id', 'customer_id', 'no customer',
     'ar_open_items', 'invoice_total'),
    ('aged_payables', 'stg_bills', 'int_bill_versions', 'bill_id', 'supplier_id', 'no supplier',
     'ap_open_items', 'bill_total'),
] %}

{{ report }}_late as (
    select
        reports.company_id,
        reports.as_of_date,
        reports.period_from,
        documents.{{ document_id }},
    from reports
    inner join {{ ref(documents) }} as documents
        on documents.company_id = reports.company_id
        and documents.updated_at > reports.oldest_at
        and documents.updated_at <= reports.latest_at
    where reports.report = '{{ report }}'
),

{{ report }}_billed as (
    select
        company_id,
        {{ document_id }},
        max(greatest({{ total }}, amount_due, 0)) as most,
        list_distinct(list(coalesce({{ party_id }}, '{{ nobody }}'))) as parties,
    from {{ ref(versions) }}
    where (company_id, {{ document_id }}) in (select (company_id, {{ document_id }}) from {{ report }}_late)
    group by company_id, {{ document_id }}
),

{{ report }}_due as (
    select
        late.company_id,
        late.as_of_date,
        late.period_from,
        billed.most,
        unnest(billed.parties) as entity_key,
        coalesce(items.{{ party_id }}, '{{ nobody }}') as party,
        case items.bucket when 'current' then 'current' when 'over_90' then 'over_90' else 'days_' || items.bucket end
            as bucket,
        coalesce(items.open_amount, 0) as open_amount,
    from {{ report }}_late as late
    inner join {{ report }}_billed as billed using (company_id, {{ document_id }})
    left join {{ ref(open_items) }} as items using (company_id, as_of_date, {{ document_id }})
),

{{ report }}_placed as (
    select
        company_id,
        as_of_date,
        period_from,
        entity_key,
        measure,
        most,
        case when party = entity_key and measure in (bucket, 'total') then open_amount else 0 end as now,
    from {{ report }}_due
    cross join (
        values ('current'), ('days_31_60'), ('days_61_90'), ('over_90'), ('total')
    ) as measures (measure)
),

{{ report }} as (
    select
        company_id,
        '{{ report }}' as report,
        as_of_date,
        period_from,
        entity_key,
        measure,
        sum(now - most) as lowest,
        sum(now) as highest,
    from {{ report }}_placed
    group by all
),
{%- endfor %}

-- Sales at tills that changed count for nothing, or for all that a version of them says.
late_tenders as (
    select
        reports.company_id,
        reports.report,
        reports.as_of_date,
        reports.period_from,
        unnest(['all', tenders.tender]) as entity_key,
        abs(tenders.gross) + abs(tenders.returns) + abs(tenders.total) as most,
    from reports
    inner join {{ ref('stg_pos_transactions') }} as transactions
        on transactions.company_id = reports.company_id
        and transactions.business_date = reports.as_of_date
        and transactions.updated_at > reports.oldest_at
        and transactions.updated_at <= reports.latest_at
    inner join {{ ref('int_pos_tenders') }} as tenders
        on tenders.company_id = transactions.company_id
        and tenders.pos_transaction_id = transactions.pos_transaction_id
    where reports.report = 'pos_daily'
),

tills as (
    select
        company_id,
        report,
        as_of_date,
        period_from,
        entity_key,
        cast(null as varchar) as measure,
        -sum(most) as lowest,
        sum(most) as highest,
    from late_tenders
    group by company_id, report, as_of_date, period_from, entity_key
),

-- Stock that changed was once what a version says that was not yet replaced then, or is new; and so much
-- more or less as documents of that time, or its last movement, may have moved.
late_stock as (
    select
        reports.company_id,
        reports.as_of_date,
        reports.period_from,
        reports.oldest_at,
        stock.item_id,
        stock.location_id,
        stock.average_cost,
        coalesce(abs(stock.last_movement_quantity), 0) as last_moved,
        case when stock.is_deleted then 0 else stock.current_stock end as quantity_now,
        case when stock.is_deleted then 0 else stock.stock_value end as value_now,
    from reports
    inner join {{ ref('stg_stock') }} as stock
        on stock.company_id = reports.company_id
        and stock.updated_at > reports.oldest_at
        and stock.updated_at <= reports.latest_at
    where reports.report = 'stock_valuation'
),

stock_then as (
    select
        late_stock.company_id,
        late_stock.as_of_date,
        late_stock.period_from,
        late_stock.oldest_at,
        late_stock.item_id,
        late_stock.location_id,
        any_value(late_stock.average_cost) as average_cost,
        any_value(late_stock.last_moved) as last_moved,
        any_value(late_stock.quantity_now) as quantity_now,
        any_value(late_stock.value_now) as value_now,
        min(versions.known_from) > late_stock.oldest_at as is_new,
        min(versions.current_stock) as least_quantity,
        max(versions.current_stock) as most_quantity,
        min(versions.stock_value) as least_value,
        max(versions.stock_value) as most_value,
    from late_stock
    inner join {{ ref('hist_stock') }} as versions using (company_id, item_id, location_id)
    where not versions.is_deleted and coalesce(versions.known_to > late_stock.oldest_at, true)
    group by
        late_stock.company_id,
        late_stock.as_of_date,
        late_stock.period_from,
        late_stock.oldest_at,
        late_stock.item_id,
        late_stock.location_id
),

items_then as (
    select
        company_id,
        as_of_date,
        period_from,
        oldest_at,
        item_id,
        max(average_cost) as average_cost,
        sum(last_moved) as last_moved,
        sum(cast(last_moved as decimal(38, 4)) * coalesce(average_cost, 0)) as last_moved_value,
        sum(quantity_now - case when is_new then greatest(most_quantity, 0) else most_quantity end)
            as lowest_quantity,
        sum(quantity_now - case when is_new then least(least_quantity, 0) else least_quantity end)
            as highest_quantity,
        sum(value_now - case when is_new then greatest(most_value, 0) else most_value end) as lowest_value,
        sum(value_now - case when is_new then least(least_value, 0) else least_value end) as highest_value,
    from stock_then
    group by all
),

documents as (
    select
        lines.company_id,
        lines.item_id,
        abs(lines.quantity) as quantity,
        cast(null as decimal(18, 6)) as unit_cost,
        invoices.updated_at as changed_at,
    from {{ ref('stg_invoice_lines') }} as lines
    inner join {{ ref('stg_invoices') }} as invoices using (company_id, invoice_id)
    where (lines.company_id, lines.item_id) in (select (company_id, item_id) from items_then)
    union all
    select
        lines.company_id,
        lines.item_id,
        abs(lines.adjustment_quantity),
        lines.unit_cost,
        greatest(adjustments.created_at, coalesce(adjustments.posted_at, adjustments.created_at)),
    from {{ ref('stg_stock_adjustment_lines') }} as lines
    inner join {{ ref('stg_stock_adjustments') }} as adjustments using (company_id, adjustment_id)
    where (lines.company_id, lines.item_id) in (select (company_id, item_id) from items_then)
),

moved as (
    select
        items_then.company_id,
        items_then.as_of_date,
        items_then.period_from,
        items_then.item_id,
        sum(documents.quantity) as quantity,
        sum(cast(documents.quantity as decimal(38, 4))
            * greatest(coalesce(items_then.average_cost, 0), coalesce(documents.unit_cost, 0))) as value,
    from items_then
    inner join documents
        on documents.company_id = items_then.company_id
        and documents.item_id = items_then.item_id
        and documents.changed_at > items_then.oldest_at
    group by all
),

stock as (
    select
        items_then.company_id,
        'stock_valuation' as report,
        items_then.as_of_date,
        items_then.period_from,
        items_then.item_id as entity_key,
        unnest(['quantity', 'value']) as measure,
        unnest([
            {{ sum_of_quantity('items_then.lowest_quantity - items_then.last_moved - coalesce(moved.quantity, 0)') }},
            {{ sum_of_quantity('items_then.lowest_value - items_then.last_moved_value - coalesce(moved.value, 0)') }}
        ]) as lowest,
        unnest([
            {{ sum_of_quantity('items_then.highest_quantity + items_then.last_moved + coalesce(moved.quantity, 0)') }},
            {{ sum_of_quantity('items_then.highest_value + items_then.last_moved_value + coalesce(moved.value, 0)') }}
        ]) as highest,
    from items_then
    left join moved
        on moved.company_id = items_then.company_id
        and moved.as_of_date = items_then.as_of_date
        and moved.item_id = items_then.item_id
),

-- A list may have grown by the records first seen since its total was told, and lost those found gone.
told as (
    select
        company_id,
        as_of_date,
        period_from,
        entity_key,
        fetched_at,
    from {{ ref('stg_report_figures') }}
    where report = 'list_totals' and entity_key is not null
),

{%- for entity in entities() %}
{%- set record = (['company_id'] + key_of(entity).keys() | list) | join(', ') %}

seen_{{ entity }} as (
    select
        {{ record }},
        min(known_from) as first_seen_at,
        max(case when is_deleted and known_to is null then known_from end) as gone_at,
    from {{ ref('hist_' ~ entity) }}
    where ({{ record }}) in (
        select ({{ record }})
        from {{ ref('hist_' ~ entity) }}
        where known_from > (select min(fetched_at) from told where entity_key = '{{ entity }}')
    )
    group by {{ record }}
),
{%- endfor %}

seen as (
    {%- for entity in entities() %}
    select company_id, '{{ entity }}' as entity_key, first_seen_at, gone_at
    from seen_{{ entity }}
    {{ 'union all' if not loop.last }}
    {%- endfor %}
),

lists as (
    select
        told.company_id,
        'list_totals' as report,
        told.as_of_date,
        told.period_from,
        told.entity_key,
        'records' as measure,
        -count(*) filter (where seen.gone_at > told.fetched_at) as lowest,
        count(*) filter (where seen.first_seen_at > told.fetched_at and seen.gone_at is null) as highest,
    from told
    inner join seen using (company_id, entity_key)
    group by all
),

figures as (
    select * from ledger_figures
    union all
    select * from aged_receivables
    union all
    select * from aged_payables
    union all
    select * from tills
    union all
    select * from stock
    union all
    select * from lists
),

final as (
    select
        company_id,
        report,
        as_of_date,
        period_from,
        entity_key,
        measure,
        {{ sum_of_quantity('lowest') }} as lowest,
        {{ sum_of_quantity('highest') }} as highest,
    from figures
)

select * from final
