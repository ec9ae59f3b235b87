-- Balance of the payable control accounts today − Σ open amounts = Σ itemised differences.
{{ itemised_difference('accounts_payable', -1, 'payable_control', today_of('ap_open_items', 'open_amount')) }}
