{# The kinds of record, one a model `hist_NAME` in `models/history`: adding one is adding its models.

   While dbt reads the models it cannot yet look into its own graph, but it has to see by then whom
   each of them refers to. So blsync names the entities, after the files that are there, in
   DBT_ENTITIES, as it names the data folder; whoever runs dbt by hand has those that ship, from
   dbt_project.yml. When models run, the graph has the last word. #}
{% macro entities() -%}
    {%- set named = env_var('DBT_ENTITIES', var('entities')).split() -%}
    {%- if execute -%}
        {%- set found = histories().keys() | sort -%}
        {%- if named | sort != found -%}
            {{ exceptions.raise_compiler_error(
                "dbt read the models without knowing which entities there are. Run it with DBT_ENTITIES='"
                ~ found | join(' ') ~ "' in the environment, or leave it to `blsync build`."
            ) }}
        {%- endif -%}
    {%- endif -%}
    {{ return(named) }}
{%- endmacro %}

{# The models of histories by entity, as dbt's graph has them; nothing while dbt reads the models. #}
{% macro histories() -%}
    {%- set found = {} -%}
    {%- for node in graph.nodes.values() if node.resource_type == 'model' and node.config.meta.entity -%}
        {%- do found.update({node.config.meta.entity: node}) -%}
    {%- endfor -%}
    {{ return(found) }}
{%- endmacro %}

{# The columns of an entity's key beside company_id, each with the landing's name of it. #}
{% macro key_of(entity) -%}
    {{ return(histories()[entity].config.meta.key if execute else {}) }}
{%- endmacro %}

{# A record's id as `finance.exceptions` shows it: the parts of its key, with colons between them. #}
{% macro record_id_of(entity) -%}
    {{ key_of(entity).keys() | join(" || ':' || ") }}
{%- endmacro %}

{# The same, from the record as BigLedger sent it. #}
{% macro own_id_of(entity, json) -%}
    {%- for name in key_of(entity).values() -%}
        json_extract_string({{ json }}, '$.{{ name }}') {{ "|| ':' || " if not loop.last }}
    {%- endfor -%}
{%- endmacro %}
