{# What invoices bear of which tax, one row an invoice, code and rate, with the day on which the tax falls
   due: sales tax with the invoice, service tax with its payment, or a year after the invoice where that
   comes first (tax_cycles.csv may say that service tax goes by invoices, too).

   `versions` names a CTE of versions of invoices with rate and timezone; `more` are columns of it that
   stay in the key. #}
{% macro taxed_documents(versions, more=[]) -%}
{%- set key = ['company_id', 'invoice_id'] + more -%}
tax_lines as (
    select
        {{ key | join(', ') }},
        invoice_number,
        customer_id,
        invoice_date,
        rate,
        case
            when amount_due <= 0 and total > 0
                then coalesce(last_payment_date, {{ local_date('updated_at', 'timezone') }})
        end as settled_on,
        amount_due <= 0 and total > 0 and last_payment_date is null as is_inferred,
        unnest(items) as line,
    from {{ versions }}
),

tax_sums as (
    select
        {{ key | join(', ') }},
        invoice_number,
        customer_id,
        invoice_date,
        settled_on,
        is_inferred,
        line."taxCode" as tax_code,
        cast(line."taxRate" as decimal(18, 4)) as tax_rate,
        sum({{ in_company_currency('coalesce(line."lineTotal", 0)', 'rate') }}) as before_tax,
        sum({{ in_company_currency('coalesce(line."taxAmount", 0)', 'rate') }}) as tax,
    from tax_lines
    group by all
),

tax_codes as (
    select
        company_id,
        tax_code,
        max(tax_type) as tax_type,
        max(tariff_code) as tariff_code,
    from {{ source('user_tables', 'tax_codes') }}
    group by company_id, tax_code
),

tax_placed as (
    select
        tax_sums.*,
        -- Sales tax is 5 or 10 per cent, service tax 6 or 8, where tax_codes.csv does not say which it is.
        coalesce(codes.tax_type, case
            when tax_sums.tax_rate in (5, 10) then 'sales'
            when tax_sums.tax_rate in (6, 8) then 'service'
        end) as tax_type,
        codes.tariff_code,
        coalesce(cycles.basis, 'payment') as basis,
    from tax_sums
    left join tax_codes as codes using (company_id, tax_code)
    asof left join {{ source('user_tables', 'tax_cycles') }} as cycles
        on cycles.company_id = tax_sums.company_id and cycles.start <= tax_sums.invoice_date
),

tax_documents as (
    select
        {{ key | join(', ') }},
        invoice_number,
        customer_id,
        invoice_date,
        tax_code,
        tax_rate,
        tax_type,
        tariff_code,
        case
            when tax_rate = 5 and tax_type = 'sales' then '11a'
            when tax_rate = 10 and tax_type = 'sales' then '11b'
            when tax_rate in (6, 8) and tax_type = 'service' then '11c'
            when tax_rate > 0 or tax <> 0 then '11d'
        end as line,
        before_tax,
        case when tax_rate > 0 or tax <> 0 then before_tax else 0 end as taxable,
        tax,
        settled_on,
        is_inferred,
        case
            when tax_type = 'service' and basis = 'payment'
                then least(
                    coalesce(settled_on, date 'infinity'), cast(invoice_date + interval 12 months as date)
                )
            else invoice_date
        end as due_on,
    from tax_placed
)
{%- endmacro %}
