-- Balance of the accounts of goods received and not invoiced today − Σ grni_amount = Σ itemised
-- differences.
{{ itemised_difference('goods_received_not_invoiced', -1, 'grni_control', today_of('grni', 'grni_amount')) }}
