-- A company without its currency and time zone would drop out of every mart without a word.
with

landed as (
    {%- for entity in [
        'accounts', 'customers', 'invoices', 'items', 'journal_entries', 'stock', 'stock_adjustments'
    ] %}
    select company_id from {{ ref('stg_' ~ entity) }}
    {{ 'union' if not loop.last }}
    {%- endfor %}
)

select landed.company_id
from landed
left join {{ ref('stg_companies') }} as companies using (company_id)
where companies.timezone is null
