with

latest as (
    {{ latest_versions('invoices', keys=['id'], change_time='"updatedAt"') }}
),

final as (
    select
        landing._company_id as company_id,
        landing.id as invoice_id,
        landing."invoiceNumber" as invoice_number,
        coalesce(nullif(landing."customerId", ''), nullif(landing.customer.id, '')) as customer_id,
        landing.customer.name as customer_name,
        landing."invoiceDate" as invoice_date,
        coalesce(landing."dueDate", landing."invoiceDate") as due_date,
        lower(landing.status) as status,
        landing.currency as invoice_currency,
        landing."exchangeRate" as exchange_rate,
        landing.reference,
        landing."purchaseOrder" as purchase_order,
        landing.items,
        {{ money('coalesce(landing.subtotal, 0)') }} as subtotal,
        {{ money('coalesce(landing."totalDiscount", 0)') }} as total_discount,
        {{ money('coalesce(landing."totalTax", 0)') }} as total_tax,
        {{ money('coalesce(landing."shippingCost", 0)') }} as shipping_cost,
        {{ money('coalesce(landing.total, 0)') }} as total,
        {{ money('coalesce(landing."amountPaid", 0)') }} as amount_paid,
        {{ money('coalesce(landing."amountDue", landing.total - coalesce(landing."amountPaid", 0), 0)') }}
            as amount_due,
        lower(landing."paymentStatus") as payment_status,
        landing."lastPaymentDate" as last_payment_date,
        lower(landing.einvoice.status) as einvoice_status,
        {{ utc('landing.einvoice."submittedAt"') }} as einvoice_submitted_at,
        {{ utc('landing.einvoice."acceptedAt"') }} as einvoice_accepted_at,
        landing.einvoice.uuid as einvoice_uuid,
        {{ utc('landing."createdAt"') }} as created_at,
        {{ utc('landing."updatedAt"') }} as updated_at,
        {{ version_columns('landing', 'latest') }}
    from {{ source('landing', 'invoices') }} as landing
    inner join latest on {{ same_row('landing', 'latest') }}
)

select * from final
