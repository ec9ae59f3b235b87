-- A role that a statement stands on has an account, or no account is in question. The rows are the
-- accounts to decide on; `blsync build` tells them with the line to add to account_roles.csv.
select * from {{ ref('int_missing_roles') }}
