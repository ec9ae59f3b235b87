-- Records with a date that lies outside all plausible years, and entries that count without one. They
-- count all the same, on the near side of the plausible months. A figure is wrong where the date of a
-- document is; that of when something was noted is only good to know of.
with

companies as (
    select * from {{ ref('stg_companies') }}
),

dates as (
    select
        company_id,
        'journal_entries' as entity,
        journal_id as record_id,
        journal_number as number,
        is_counted as is_in_figures,
        is_counted as needs_date,
        [{'what': 'its date', 'day': journal_date}] as named,
        [
            {'what': 'its creation', 'day': cast(created_at as date)},
            {'what': 'its posting', 'day': cast(posted_at as date)},
        ] as noted,
    from {{ ref('stg_journal_entries') }}
    where not is_deleted
    union all
    select
        company_id,
        'invoices',
        invoice_id,
        invoice_number,
        coalesce(status, '') not in ('draft', 'cancelled'),
        false,
        [{'what': 'its date', 'day': invoice_date}, {'what': 'its due date', 'day': due_date}, {'what': 'its last payment', 'day': last_payment_date}],
        [
            {'what': 'its creation', 'day': cast(created_at as date)},
            {'what': 'its submission', 'day': cast(einvoice_submitted_at as date)},
            {'what': 'its acceptance', 'day': cast(einvoice_accepted_at as date)},
        ],
    from {{ ref('stg_invoices') }}
    where not is_deleted
    union all
    select
        company_id,
        'stock_adjustments',
        adjustment_id,
        adjustment_number,
        status = 'posted',
        false,
        [{'what': 'its date', 'day': adjustment_date}],
        [
            {'what': 'its creation', 'day': cast(created_at as date)},
            {'what': 'its posting', 'day': cast(posted_at as date)},
        ],
    from {{ ref('stg_stock_adjustments') }}
    where not is_deleted
    union all
    select
        company_id,
        'customers',
        customer_id,
        customer_number,
        false,
        false,
        [],
        [{'what': 'its creation', 'day': cast(created_at as date)}, {'what': 'its last sale', 'day': last_sale_date}],
    from {{ ref('stg_customers') }}
    where not is_deleted
),

-- Most dates are good, and only what is left is made words of.
odd as (
    select
        dates.*,
        companies.today,
        list_filter(
            dates.named,
            lambda each: not {{ is_plausible('each.day', 'companies.today') }}
            and (each.day is not null or dates.needs_date)
        ) as off,
        list_filter(
            dates.noted,
            lambda each: each.day is not null and not {{ is_plausible('each.day', 'companies.today') }}
        ) as off_notes,
    from dates
    inner join companies using (company_id)
),

final as (
    select
        company_id,
        entity,
        record_id,
        case when is_in_figures and array_length(off) > 0 then 'error' else 'warning' end as severity,
        format(
            '{}: {}, which is not between {} and {}.',
            coalesce(number, 'The record'),
            list_aggregate(
                list_transform(
                    off || off_notes,
                    lambda each: each.what || ' is ' || coalesce(cast(each.day as varchar), 'missing')
                ),
                'string_agg',
                ' and '
            ),
            cast({{ first_plausible_day('today') }} as varchar),
            cast({{ last_plausible_day('today') }} as varchar)
        ) as evidence,
    from odd
    where array_length(off) + array_length(off_notes) > 0
)

select * from final
